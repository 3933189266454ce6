//! The calls of trust.proto.

use std::error::Error;
use std::sync::Arc;

use quorate_proto::in_one_line;
use quorate_proto::trust::calls::trust_server::{Trust as TrustCalls, TrustServer};
use quorate_proto::trust::calls::{
    BeginRenewalReply, BeginRenewalRequest, FinishRenewalReply, FinishRenewalRequest,
    PutBundleReply, PutBundleRequest, StatusReply, StatusRequest,
};
use quorate_proto::trust::{BUNDLE_BYTES, Peer, Right};
use tonic::{Request, Response, Status};

use super::{NotRecorded, PutError, RenewError, Trust};
use crate::access::Access;
use crate::caller::Caller;

/// The service, for those whom the node trusts already.
pub fn service(trust: Arc<Trust>) -> TrustServer<TrustService> {
    let access = trust.access();
    TrustServer::new(TrustService { trust, access }).max_decoding_message_size(3 * BUNDLE_BYTES)
}

/// Serves the calls.
pub struct TrustService {
    trust: Arc<Trust>,
    access: Access,
}

impl TrustService {
    fn authorise<T>(&self, request: &Request<T>, right: Right) -> Result<Caller, Status> {
        self.access.allow(request.extensions().get::<Peer>(), right)
    }
}

#[tonic::async_trait]
impl TrustCalls for TrustService {
    async fn status(
        &self,
        request: Request<StatusRequest>,
    ) -> Result<Response<StatusReply>, Status> {
        self.authorise(&request, Right::TrustStatus)?;
        let certificate = self.trust.certificate();
        let certificate = certificate.map_err(|error| Status::internal(in_one_line(&error)))?;
        let generation = self.trust.generation();
        Ok(Response::new(StatusReply { generation, certificate: certificate.to_vec() }))
    }

    async fn put_bundle(
        &self,
        request: Request<PutBundleRequest>,
    ) -> Result<Response<PutBundleReply>, Status> {
        let caller = self.authorise(&request, Right::PutBundle)?;
        let put = self.trust.put(&caller, &request.into_inner().bundle).await;
        let generation = put.map_err(|error| match &error {
            PutError::Refused(_) | PutError::Tls(_) => {
                Status::failed_precondition(in_one_line(&error))
            }
            PutError::Unrecorded(why) => unrecorded(why, &error),
            PutError::Keep(_) => Status::internal(in_one_line(&error)),
        })?;
        Ok(Response::new(PutBundleReply { generation }))
    }

    async fn begin_renewal(
        &self,
        request: Request<BeginRenewalRequest>,
    ) -> Result<Response<BeginRenewalReply>, Status> {
        self.authorise(&request, Right::BeginRenewal)?;
        let csr_der = self.trust.begin_renewal().await.map_err(|error| failed(&error))?;
        Ok(Response::new(BeginRenewalReply { csr_der }))
    }

    async fn finish_renewal(
        &self,
        request: Request<FinishRenewalRequest>,
    ) -> Result<Response<FinishRenewalReply>, Status> {
        let caller = self.authorise(&request, Right::FinishRenewal)?;
        let chain = request.into_inner().chain.into_iter().map(Into::into).collect::<Vec<_>>();
        self.trust.finish_renewal(&caller, &chain).await.map_err(|error| failed(&error))?;
        Ok(Response::new(FinishRenewalReply {}))
    }
}

fn failed(error: &RenewError) -> Status {
    match error {
        RenewError::NotBegun | RenewError::Refused(_) => {
            Status::failed_precondition(in_one_line(error))
        }
        RenewError::Unrecorded(why) => unrecorded(why, error),
        RenewError::Key(_) | RenewError::Keep(_) => Status::internal(in_one_line(error)),
    }
}

fn unrecorded(why: &NotRecorded, error: &(dyn Error + 'static)) -> Status {
    match why {
        NotRecorded::Away(_) => Status::unavailable(in_one_line(error)),
        NotRecorded::Refused(_) => Status::internal(in_one_line(error)),
    }
}
