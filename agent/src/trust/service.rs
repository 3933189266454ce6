//! The calls of trust.proto.

use std::sync::Arc;

use quorate_proto::in_one_line;
use quorate_proto::trust::calls::trust_server::{Trust as TrustCalls, TrustServer};
use quorate_proto::trust::calls::{PutBundleReply, PutBundleRequest, StatusReply, StatusRequest};
use quorate_proto::trust::{BUNDLE_BYTES, Peer, Right};
use tonic::{Request, Response, Status};

use super::{NotRecorded, PutError, Trust};
use crate::access::Access;
use crate::executor::Caller;

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
        Ok(Response::new(StatusReply { generation: self.trust.generation() }))
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
            PutError::Unrecorded(NotRecorded::Away(_)) => Status::unavailable(in_one_line(&error)),
            PutError::Unrecorded(NotRecorded::Refused(_)) | PutError::Keep(_) => {
                Status::internal(in_one_line(&error))
            }
        })?;
        Ok(Response::new(PutBundleReply { generation }))
    }
}
