//! etcd's membership, asked of etcd itself: who is a member, and who of them is well. A member can be
//! removed; that one is added is kubeadm's part.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use futures_util::future::join_all;
use hyper_util::rt::TokioIo;
use quorate_proto::etcd::cluster_client::ClusterClient;
use quorate_proto::etcd::maintenance_client::MaintenanceClient;
use quorate_proto::etcd::{
    Member, MemberListRequest, MemberRemoveRequest, StatusRequest, StatusResponse,
};
use quorate_proto::{EtcdFacts, EtcdMember};
use rustls::ClientConfig;
use tonic::Code;
use tonic::transport::{Channel, Endpoint, Uri};

use super::tls::{self, Authority};
use crate::host::linux::LinuxHost;
use crate::host::{Etcd, HostError};
use crate::kubeadm_paths::PKI;

/// A member that is well answers in milliseconds; one in an election may take a second.
const DEADLINE: Duration = Duration::from_secs(2);
/// A change has to be agreed on and written by a quorum; etcd itself gives up after some 7 s.
const CHANGE_DEADLINE: Duration = Duration::from_secs(15);
/// This node's own member.
const OWN: &str = "https://127.0.0.1:2379";

#[async_trait]
impl Etcd for LinuxHost {
    /// Asks this node's own member, then `peers`, for the membership; then every member how it is.
    ///
    /// A learner does not serve the list, which is why peers are asked where the own member is one.
    async fn etcd(&self, peers: &[String]) -> Result<EtcdFacts, HostError> {
        let config = Arc::new(credentials().await?);
        let mut first = match list(&config, OWN).await {
            Ok(list) => return Ok(facts(&config, list).await),
            Err(error) => error,
        };
        for answer in join_all(peers.iter().map(|peer| list(&config, peer))).await {
            match answer {
                Ok(list) => return Ok(facts(&config, list).await),
                // A stranger at a peer's address matters more than a member that is not up.
                Err(HostError::Refused(why)) => first = HostError::Refused(why),
                Err(_) => {}
            }
        }
        Err(first)
    }

    /// Removes a member, by this node's own member; no error where there is no such member.
    async fn remove_etcd_member(&self, id: u64) -> Result<(), HostError> {
        let config = Arc::new(credentials().await?);
        let ask = async {
            let channel = channel(&config, OWN).await?;
            let request = MemberRemoveRequest { id };
            match ClusterClient::new(channel).member_remove(request).await {
                Ok(_) => Ok(()),
                // It was removed before, perhaps by a call whose answer was lost.
                Err(status) if status.code() == Code::NotFound => Ok(()),
                Err(status) => Err(HostError::NotYet(format!(
                    "etcd did not remove the member {id:x}: {}",
                    status.message()
                ))),
            }
        };
        let late = |elapsed| HostError::silent(&name(OWN), elapsed);
        tokio::time::timeout(CHANGE_DEADLINE, ask).await.map_err(late)?
    }
}

async fn credentials() -> Result<ClientConfig, HostError> {
    let ca = tls::file(&format!("{PKI}/etcd/ca.crt")).await?;
    let certificate = tls::file(&format!("{PKI}/etcd/healthcheck-client.crt")).await?;
    let key = tls::secret_file(&format!("{PKI}/etcd/healthcheck-client.key")).await?;
    let mut config = tls::client_config(&Authority {
        ca_pem: &ca,
        certificate_pem: &certificate,
        key_pem: key.expose().as_bytes(),
    })?;
    config.alpn_protocols = vec![b"h2".to_vec()];
    Ok(config)
}

async fn list(config: &Arc<ClientConfig>, url: &str) -> Result<(u64, Vec<Member>), HostError> {
    let ask = async {
        let channel = channel(config, url).await?;
        // Not linearizable: that would need a quorum, and its loss is what people look at this for.
        let request = MemberListRequest { linearizable: false };
        let reply = ClusterClient::new(channel).member_list(request).await;
        let reply = reply.map_err(|status| HostError::silent(&name(url), status))?.into_inner();
        Ok((reply.header.unwrap_or_default().cluster_id, reply.members))
    };
    let late = |elapsed| HostError::silent(&name(url), elapsed);
    tokio::time::timeout(DEADLINE, ask).await.map_err(late)?
}

async fn facts(config: &Arc<ClientConfig>, list: (u64, Vec<Member>)) -> EtcdFacts {
    let (cluster_id, members) = list;
    let statuses = join_all(members.iter().map(|member| status(config, member))).await;
    judge(cluster_id, members, &statuses)
}

/// A member's own word; `None` where it has not started or does not answer.
async fn status(config: &Arc<ClientConfig>, member: &Member) -> Option<StatusResponse> {
    let url = member.client_ur_ls.first()?;
    let ask = async {
        let channel = channel(config, url).await.ok()?;
        let reply = MaintenanceClient::new(channel).status(StatusRequest {}).await;
        reply.ok().map(tonic::Response::into_inner)
    };
    tokio::time::timeout(DEADLINE, ask).await.ok().flatten()
}

/// Puts the list and the members' own words together.
fn judge(cluster_id: u64, members: Vec<Member>, statuses: &[Option<StatusResponse>]) -> EtcdFacts {
    let of_this_cluster =
        |status: &&StatusResponse| status.header.is_some_and(|it| it.cluster_id == cluster_id);
    let voters = members.iter().zip(statuses).filter(|(member, _)| !member.is_learner);
    let answers: Vec<&StatusResponse> =
        voters.filter_map(|(_, status)| status.as_ref()).filter(of_this_cluster).collect();
    // The newest term is the present one: a member cut off still names the leader of its own.
    let newest = answers.iter().max_by_key(|status| status.raft_term);
    let leader = newest.map(|status| status.leader).filter(|leader| *leader != 0);
    let healthy = |status: &Option<StatusResponse>| {
        // Alarms, such as NOSPACE, are among a status's errors.
        let well =
            |status: &&StatusResponse| Some(status.leader) == leader && status.errors.is_empty();
        status.as_ref().filter(of_this_cluster).filter(well).is_some()
    };
    let member = |(member, status): (Member, &Option<StatusResponse>)| EtcdMember {
        id: member.id,
        name: member.name,
        peer_urls: member.peer_ur_ls,
        learner: member.is_learner,
        healthy: healthy(status),
    };
    EtcdFacts {
        cluster_id,
        leader,
        members: members.into_iter().zip(statuses).map(member).collect(),
    }
}

async fn channel(config: &Arc<ClientConfig>, url: &str) -> Result<Channel, HostError> {
    let server = url.trim_start_matches("https://").to_owned();
    let service = name(url);
    // TLS is the connector's own affair, so that tonic must believe in plain HTTP.
    let endpoint = Endpoint::from_shared(format!("http://{server}"))
        .map_err(|error| HostError::silent(&service, error))?;
    // The first connection is made here, so that a stranger is told apart from silence.
    let stream = tls::connect(&server, Arc::clone(config), &service).await?;
    let mut stream = Some(TokioIo::new(stream));
    let connector = tower::service_fn(move |_: Uri| {
        let stream = stream.take();
        async move { stream.ok_or_else(|| std::io::Error::other("the connection has ended")) }
    });
    let channel = endpoint.connect_with_connector(connector).await;
    channel.map_err(|error| HostError::silent(&service, error))
}

fn name(url: &str) -> String {
    format!("etcd at {url}")
}

#[cfg(test)]
mod tests {
    use quorate_proto::etcd::ResponseHeader;

    use super::*;

    fn member(id: u64, name: &str) -> Member {
        Member { id, name: name.to_owned(), ..Member::default() }
    }

    fn status(raft_term: u64, leader: u64) -> StatusResponse {
        let header = Some(ResponseHeader { cluster_id: 7, ..ResponseHeader::default() });
        StatusResponse { header, raft_term, leader, ..StatusResponse::default() }
    }

    fn healthy(facts: &EtcdFacts) -> Vec<bool> {
        facts.members.iter().map(|member| member.healthy).collect()
    }

    #[test]
    fn a_member_is_healthy_if_it_follows_the_leader_of_the_newest_term() {
        let members = vec![member(1, "a"), member(2, "b"), member(3, "c"), member(4, "d")];
        let strange = StatusResponse { header: None, ..status(9, 9) };
        let statuses = [Some(status(5, 2)), Some(status(5, 2)), Some(status(4, 3)), Some(strange)];
        let facts = judge(7, members, &statuses);
        assert_eq!(facts.leader, Some(2));
        assert_eq!(healthy(&facts), [true, true, false, false]);
    }

    #[test]
    fn without_a_leader_nobody_is_healthy() {
        let facts = judge(7, vec![member(1, "a"), member(2, "b")], &[Some(status(5, 0)), None]);
        assert_eq!((facts.leader, healthy(&facts)), (None, vec![false, false]));
    }

    #[test]
    fn an_alarm_makes_a_member_unhealthy() {
        let alarmed = StatusResponse { errors: vec!["NOSPACE".to_owned()], ..status(5, 1) };
        let facts = judge(7, vec![member(1, "a")], &[Some(alarmed)]);
        assert_eq!(healthy(&facts), [false]);
    }
}
