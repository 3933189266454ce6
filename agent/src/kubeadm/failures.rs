//! What is known of kubeadm's failures: a fragment of the message, its cause, and what to do next.

/// One known failure.
struct Known {
    /// All of these are in the output, on whatever lines.
    fragments: &'static [&'static str],
    cause: &'static str,
    advice: &'static str,
}

/// What the output of a failed command is known to mean, and what to do next.
pub fn advice<'a>(lines: impl IntoIterator<Item = &'a str>) -> Option<String> {
    let output: Vec<&str> = lines.into_iter().collect();
    let said = |fragment: &&str| output.iter().any(|line| line.contains(fragment));
    let known = KNOWN.iter().find(|known| known.fragments.iter().all(said))?;
    Some(format!("{}: {}", known.cause, known.advice))
}

/// More specific entries first: the first that fits is told.
const KNOWN: &[Known] = &[
    Known {
        fragments: &["o space left on device"],
        cause: "a disk of the node is full",
        advice: "make room there (`df -h` and `df -i` show where: /var/lib/etcd, /var/lib/containerd \
                 and /var/log are the usual places), then run the same command again",
    },
    Known {
        // systemd's word for SIGKILL.
        fragments: &["ended with status 137"],
        cause: "it was killed, by somebody or for lack of memory",
        advice: "see `journalctl -k -g 'out of memory'` on the node, then run the same command again, \
                 which goes on from here",
    },
    Known {
        fragments: &["could not bootstrap the admin user", "context deadline exceeded"],
        cause: "the load balancer does not yet route to the first API server",
        advice: "see that `curl -k https://ENDPOINT/livez` answers ok, then run `quorate apply` \
                 again, which goes on from here",
    },
    Known {
        fragments: &["/livez", "EOF"],
        cause: "the endpoint accepts connections but no API server is behind it",
        advice: "look at the load balancer's backends (`quorate verify`), then run `quorate apply` \
                 again",
    },
    Known {
        fragments: &["running with swap on is not supported"],
        cause: "swap is on",
        advice: "run `swapoff -a`, remove swap from /etc/fstab and disable zram, then run `quorate \
                 apply` again",
    },
    Known {
        fragments: &["too many open files"],
        cause: "the limits of inotify are too low",
        advice: "raise fs.inotify.max_user_instances and fs.inotify.max_user_watches in a file of \
                 /etc/sysctl.d, run `sysctl --system`, then `quorate apply` again",
    },
    Known {
        fragments: &["127.0.0.1:10248/healthz"],
        cause: "the kubelet does not run",
        advice: "read `journalctl -u kubelet`: swap, another cgroup driver than containerd's, an \
                 unknown flag or a stopped containerd are the usual causes",
    },
    Known {
        fragments: &["unknown service runtime.v1.RuntimeService"],
        cause: "containerd runs without its CRI plugin, or is too old",
        advice: "see that disabled_plugins in /etc/containerd/config.toml does not name cri, and \
                 run `quorate apply` again",
    },
    Known {
        fragments: &["[ERROR FileExisting-conntrack]"],
        cause: "the package conntrack is missing",
        advice: "install conntrack on the node and run `quorate apply` again",
    },
    Known {
        fragments: &["[ERROR FileContent--proc-sys-net-ipv4-ip_forward]"],
        cause: "the node does not forward IPv4",
        advice: "something set net.ipv4.ip_forward back to 0: look in /etc/sysctl.d for files that \
                 sort after k8s.conf",
    },
    Known {
        fragments: &["[ERROR ImagePull]"],
        cause: "an image cannot be pulled",
        advice: "see that the node reaches the registry, or name image archives under `images` in \
                 the specification",
    },
    Known {
        fragments: &["[ERROR SystemVerification]"],
        cause: "the kernel or its cgroups are not as the kubelet needs them",
        advice: "read the lines above; where the difference is meant, name SystemVerification in \
                 spec.kubeadm.ignorePreflightErrors",
    },
    Known {
        fragments: &["[ERROR NumCPU]"],
        cause: "a control plane needs two processors",
        advice: "give the node more, or name NumCPU in spec.kubeadm.ignorePreflightErrors",
    },
    Known {
        fragments: &["[ERROR Mem]"],
        cause: "a control plane needs 1700 MB of memory",
        advice: "give the node more, or name Mem in spec.kubeadm.ignorePreflightErrors",
    },
    Known {
        fragments: &["[ERROR Port-"],
        cause: "another process listens on a port that Kubernetes needs",
        advice: "find it with `ss -ltnp` and stop it, then run `quorate apply` again",
    },
    Known {
        fragments: &["[ERROR DirAvailable--var-lib-etcd]"],
        cause: "/var/lib/etcd holds data of an earlier member",
        advice: "if it is of no use, empty it by hand; quorate never deletes etcd's data",
    },
    Known {
        fragments: &["[ERROR FileAvailable--"],
        cause: "the node holds files of an earlier cluster",
        advice: "if they are of no use, run `kubeadm reset` on the node and then `quorate apply`",
    },
    Known {
        fragments: &["could not find a JWS signature in the cluster-info ConfigMap"],
        cause: "the bootstrap token has expired, or no controller manager leads",
        advice: "run `quorate verify`, then `quorate apply`, which mints a new token",
    },
    Known {
        fragments: &["none of the public keys", "are pinned"],
        cause: "another cluster answers at the endpoint",
        advice: "see who holds the endpoint's address, and correct it there or in the specification",
    },
    Known {
        fragments: &["Secret \"kubeadm-certs\" was not found"],
        cause: "the shared certificates are no longer offered",
        advice: "run `quorate apply` again, which offers them anew",
    },
    Known {
        fragments: &["error decrypting"],
        cause: "the shared certificates were sealed with another key",
        advice: "run `quorate apply` again, which offers them anew",
    },
    Known {
        fragments: &["certificate has expired or is not yet valid"],
        cause: "the nodes' clocks differ, or a certificate has expired",
        advice: "compare `date` on the nodes and see that time synchronisation runs; then \
                 `kubeadm certs check-expiration`",
    },
    Known {
        fragments: &["x509: certificate is valid for"],
        cause: "an API server's certificate lacks a name that it is reached by",
        advice: "add the name to certSANs, delete /etc/kubernetes/pki/apiserver.crt and .key on \
                 that node, and run `quorate apply` again",
    },
    Known {
        fragments: &["x509: certificate signed by unknown authority"],
        cause: "files of another cluster are left on the node, or another cluster answers",
        advice: "compare /etc/kubernetes/pki/ca.crt of the nodes; if this node's is a left-over, \
                 run `kubeadm reset` there",
    },
    Known {
        fragments: &["a Node with name", "already exists in the cluster"],
        cause: "a node of this name is Ready in the cluster already",
        advice: "if it is this machine, run `quorate apply` again in a minute; if it is another, \
                 one of the two needs another name",
    },
    Known {
        fragments: &["can only promote a learner member which is in sync with leader"],
        cause: "the new etcd member does not catch up",
        advice: "see that ports 2379 and 2380 are open both ways between the control planes, and \
                 read the new member's log with `crictl logs`; `quorate apply` then goes on",
    },
    Known {
        fragments: &["too many learner members in cluster"],
        cause: "an earlier join left a learner in etcd",
        advice: "finish that node's join with `quorate apply`; if its machine is gone, take it out \
                 of the specification and run `quorate node remove NAME`",
    },
    Known {
        fragments: &["member already promoted"],
        cause: "kubeadm promoted the member twice; the first time was enough",
        advice: "run `quorate apply` again, which goes on from here",
    },
    Known {
        fragments: &["rpc not supported for learner"],
        cause: "kubeadm asked the new etcd member before it could answer",
        advice: "run `quorate apply` again, which goes on from here",
    },
    Known {
        fragments: &["etcd cluster is not healthy"],
        cause: "a member of etcd is listed but does not answer",
        advice: "bring it back; if its machine is gone, take it out of the specification and run \
                 `quorate node remove NAME`",
    },
    Known {
        fragments: &["etcdserver: unhealthy cluster"],
        cause: "etcd refuses to change while a member is not healthy",
        advice: "bring all members back and wait ten seconds, then run `quorate apply` again",
    },
    Known {
        fragments: &["not enough started members"],
        cause: "etcd refuses to change while a member has not started",
        advice: "bring all members back and wait ten seconds, then run `quorate apply` again",
    },
    Known {
        fragments: &["too many learner members", "membership"],
        cause: "etcd 3.5 left a member marked as learner, and 3.6 refuses to start with it",
        advice: "move all members to etcd 3.5.26 or newer before going on to 3.6",
    },
    Known {
        fragments: &["unknown feature gate"],
        cause: "the configuration names a feature gate that this version does not have",
        advice: "remove it from the specification's kubelet configuration or extra arguments",
    },
    Known {
        fragments: &["cni plugin not initialized"],
        cause: "no pod network is installed yet, or /opt/cni/bin lacks its plugins",
        advice: "see that kubernetes-cni is installed, and run `quorate apply` again",
    },
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_known_failure_is_told_with_its_cause_and_the_next_step() {
        let output = [
            "[preflight] Running pre-flight checks",
            "\t[ERROR FileExisting-conntrack]: conntrack not found in system path",
        ];
        let told = advice(output).unwrap();
        assert!(told.starts_with("the package conntrack is missing: install conntrack"), "{told}");
    }

    #[test]
    fn fragments_on_several_lines_belong_together() {
        let first =
            "error execution phase upload-config/kubeadm: could not bootstrap the admin user";
        assert_eq!(advice([first]), None, "the other half is missing");
        let told = advice([first, "client rate limiter: context deadline exceeded"]).unwrap();
        assert!(told.contains("load balancer"), "{told}");
    }

    #[test]
    fn the_special_case_comes_before_the_general_one() {
        let output = [
            "Get \"http://127.0.0.1:10248/healthz\": connection refused",
            "failed to run Kubelet: running with swap on is not supported",
        ];
        assert!(advice(output).unwrap().starts_with("swap is on"));
    }

    #[test]
    fn every_entry_can_be_reached() {
        for known in KNOWN {
            let told = advice(known.fragments.iter().copied()).unwrap();
            assert!(told.starts_with(known.cause), "{} is hidden behind {told}", known.cause);
        }
    }

    #[test]
    fn nothing_is_made_up() {
        assert_eq!(advice(["some other failure"]), None);
    }
}
