//! What a Linux machine asks of the services of its cluster, by the certificates that kubeadm left on it.

mod dns;
mod etcd;
mod kube;
mod tls;
mod unix_line;
