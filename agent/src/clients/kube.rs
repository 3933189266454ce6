//! The few reads of the Kubernetes API that checks need, as this node's administrator.

use std::io::ErrorKind;
use std::sync::Arc;

use async_trait::async_trait;
use http_body_util::{BodyExt as _, Empty, Limited};
use hyper::body::Bytes;
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use rustls::ClientConfig;
use serde_json::Value;

use super::tls::{self, Authority};
use crate::host::linux::LinuxHost;
use crate::host::{ApiAnswer, ApiMethod, ApiRequest, ApiServer, HostError, KubeApi};
use crate::kubeadm::kubeconfig::{Kubeconfig, User};
use crate::kubeadm_paths::{ADMIN_CONF, CA, CONTROLLER_MANAGER_CONF};

/// No answer that a check reads comes near it; a list of every pod of a large cluster might.
const LARGEST_ANSWER: usize = 32 << 20;

#[async_trait]
impl KubeApi for LinuxHost {
    /// Sends one request and reads the answer, over a connection of its own.
    async fn api(&self, request: &ApiRequest) -> Result<ApiAnswer, HostError> {
        let config = Arc::new(client_config(&request.at).await?);
        let server = match &request.at {
            ApiServer::At(address) | ApiServer::Endpoint(address) => address.clone(),
            // kubeadm points admin.conf at the cluster's endpoint, and this one at the API server beside.
            ApiServer::Own => server(&kubeconfig(CONTROLLER_MANAGER_CONF).await?),
        };
        self.servers.answer(&server, &name(&server), talk(&server, config, request)).await
    }
}

async fn talk(
    server: &str,
    config: Arc<ClientConfig>,
    request: &ApiRequest,
) -> Result<ApiAnswer, HostError> {
    let service = name(server);
    let stream = tls::connect(server, config, &service).await?;
    let silent = |error: hyper::Error| HostError::silent(&service, error);
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await.map_err(silent)?;
    let answer = exchange(&mut sender, server, request);
    tokio::pin!(answer);
    // The connection is driven here and ends with the answer: nothing is left running behind.
    tokio::select! {
        answer = &mut answer => answer,
        ended = connection => {
            ended.map_err(silent)?;
            answer.await
        }
    }
}

async fn exchange(
    sender: &mut http1::SendRequest<Empty<Bytes>>,
    server: &str,
    request: &ApiRequest,
) -> Result<ApiAnswer, HostError> {
    let service = name(server);
    let method = match request.method {
        ApiMethod::Get | ApiMethod::Table => http::Method::GET,
        ApiMethod::Delete => http::Method::DELETE,
    };
    let accept = match request.method {
        ApiMethod::Table => "application/json;as=Table;v=v1;g=meta.k8s.io",
        ApiMethod::Get | ApiMethod::Delete => "application/json",
    };
    let http = http::Request::builder()
        .method(method)
        .uri(&request.path)
        .header(http::header::HOST, server)
        .header(http::header::ACCEPT, accept)
        .body(Empty::new())
        .map_err(|error| HostError::silent(&service, error))?;
    let answer =
        sender.send_request(http).await.map_err(|error| HostError::silent(&service, error))?;
    let status = answer.status().as_u16();
    let body = Limited::new(answer.into_body(), LARGEST_ANSWER).collect().await;
    let body = body
        .map_err(|error| HostError::Silent { service: service.clone(), source: error })?
        .to_bytes();
    let text = || Value::String(String::from_utf8_lossy(&body).into_owned());
    Ok(ApiAnswer { status, body: serde_json::from_slice(&body).unwrap_or_else(|_| text()) })
}

/// Whom to believe and who we are: as the administrator, and at the endpoint, before there is one,
/// as nobody.
async fn client_config(at: &ApiServer) -> Result<ClientConfig, HostError> {
    let admin = match kubeconfig(ADMIN_CONF).await {
        Err(error) if matches!(at, ApiServer::Endpoint(_)) && missing(&error) => {
            let ca_pem = match tls::file(CA).await {
                Err(error) if missing(&error) => Vec::new(),
                read => read?,
            };
            return tls::anonymous_config(&ca_pem);
        }
        admin => admin?,
    };
    let User::Embedded { certificate_pem, key_pem } = &admin.user else {
        return Err(HostError::Refused(format!(
            "{ADMIN_CONF} has no client certificate in it: have kubeadm write it anew with \
             `kubeadm init phase kubeconfig admin`"
        )));
    };
    let authority = Authority {
        ca_pem: admin.ca_pem.as_bytes(),
        certificate_pem: certificate_pem.as_bytes(),
        key_pem: key_pem.expose().as_bytes(),
    };
    tls::client_config(&authority)
}

fn missing(error: &HostError) -> bool {
    matches!(error, HostError::Io { source, .. } if source.kind() == ErrorKind::NotFound)
}

async fn kubeconfig(path: &str) -> Result<Kubeconfig, HostError> {
    let content = tls::file(path).await?;
    Kubeconfig::parse(&content).map_err(|error| {
        HostError::Refused(format!("{path} cannot be used: {error}; restore it or remove it"))
    })
}

fn server(config: &Kubeconfig) -> String {
    config.server.trim_start_matches("https://").trim_end_matches('/').to_owned()
}

fn name(server: &str) -> String {
    format!("the Kubernetes API at {server}")
}
