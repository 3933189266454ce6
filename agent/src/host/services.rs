//! What goals ask of services: the Kubernetes API, etcd, DNS, and what listens at a Unix socket.
//! `clients` does it for a Linux machine.

use std::net::SocketAddr;

use async_trait::async_trait;
use quorate_proto::EtcdFacts;
use serde_json::Value;

use super::HostError;

/// The Kubernetes API of the cluster that the node is in.
#[async_trait]
pub trait KubeApi: Send + Sync {
    /// Asks an API server, as this node's own administrator.
    async fn api(&self, request: &ApiRequest) -> Result<ApiAnswer, HostError>;
}

/// The cluster's etcd.
#[async_trait]
pub trait Etcd: Send + Sync {
    /// Asks etcd for its members: at this node's own member, or where there is none, at `peers`
    /// (client addresses such as `https://10.0.0.1:2379`).
    async fn etcd(&self, peers: &[String]) -> Result<EtcdFacts, HostError>;
    /// Removes a member of etcd, at this node's own member; no error where there is none of this id.
    async fn remove_etcd_member(&self, id: u64) -> Result<(), HostError>;
}

/// DNS servers.
#[async_trait]
pub trait Dns: Send + Sync {
    /// Resolves a name at one DNS server, over UDP, and says how many addresses it gave.
    async fn resolve(&self, name: &str, server: SocketAddr) -> Result<usize, HostError>;
}

/// Unix sockets that answer a line.
#[async_trait]
pub trait UnixLine: Send + Sync {
    /// Sends one line to a Unix socket and reads the answer to its end, as HAProxy's stats need.
    async fn ask_socket(&self, path: &str, line: &str) -> Result<String, HostError>;
}

/// One request to the Kubernetes API.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ApiRequest {
    pub method: ApiMethod,
    /// Such as `/api/v1/nodes/cp-1`.
    pub path: String,
    pub at: ApiServer,
}

/// The methods that goals need.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ApiMethod {
    Get,
    /// A list as rows of a table, as kubectl asks for it: small, whatever the objects hold.
    Table,
    Delete,
}

/// Which API server to ask.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ApiServer {
    /// The one that runs on this node.
    Own,
    /// One address and port, such as the endpoint's. The certificate must be of this cluster.
    At(String),
    /// The cluster's endpoint, `HOST:PORT`. It may be asked before kubeadm has given this node a
    /// name in the cluster: who answers must be of the authority that the node holds, if any.
    Endpoint(String),
}

/// An answer of the API, also where it is 404.
#[derive(Debug, Clone, PartialEq)]
pub struct ApiAnswer {
    pub status: u16,
    /// JSON, or the text as a JSON string where the answer is none.
    pub body: Value,
}
