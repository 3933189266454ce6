//! A command's work with one cluster: opens it, keeps the nodes' trust up, plans, and carries a
//! procedure out. Prints nothing: `cli` has the words and the exit codes.

mod roles;
mod rotate;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::SystemTime;

use arc_swap::ArcSwap;
use quorate_proto::trust::{OperatorName, Role};
use quorate_proto::{NodeName, RunId};
pub(crate) use rotate::rotate;
use tokio::sync::watch;
use tokio::time::Instant;
use uuid::Uuid;

use crate::driver::{
    Drawn, DriveError, LockError, LockHolder, Request, RunLock, apply, draw_up, now_ms, survey,
};
use crate::fleet::{Anchored, Channels, Fleet, FleetError, GrpcFleet, Pushed, TrustCalls};
use crate::plan::Plan;
use crate::procedure::Procedure;
use crate::run::{Outcome, View};
use crate::site::{
    NodeCall, OperatorCredentials, RenewError, Renewed, Site, SiteError, due, own_history,
    renew_all,
};
use crate::spec::{ClusterSpec, Loaded};
use crate::store::Store;

/// Why a session could not do its work.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SessionError {
    #[error(transparent)]
    Site(#[from] SiteError),
    #[error("this takes the role {least}, and the credentials of {name} are {}'s", role.with_article())]
    Role { name: OperatorName, role: Role, least: Role },
    #[error(transparent)]
    Lock(#[from] LockError),
    /// What stands against a plan, each with what to do.
    #[error("this must not be begun now; nothing was changed")]
    Blocked(Vec<String>),
    #[error(transparent)]
    Drive(#[from] DriveError),
}

/// The state folder, and the credentials that are used where it is not the site's.
#[derive(Debug, Clone)]
pub(crate) struct Paths {
    pub(crate) state: PathBuf,
    pub(crate) credentials: Option<PathBuf>,
}

/// A cluster that commands can speak to.
pub(crate) struct Session {
    pub(crate) loaded: Loaded,
    /// The site's records; `None` where only credentials are here.
    pub(crate) store: Option<Store>,
    pub(crate) fleet: Arc<dyn Fleet>,
    paths: Paths,
    operator: OperatorCredentials,
    /// Where the site is here.
    trust: Option<SiteTrust>,
}

/// What the nodes are told of trust before a run.
struct SiteTrust {
    site: Arc<Site>,
    calls: TrustCalls,
}

/// What happened in a session that a person may want to know.
pub(crate) enum Notice<'a> {
    /// Nodes that did not take the newest trust bundle, of this generation.
    NotPushed(u64, &'a [(NodeName, Result<Pushed, FleetError>)]),
    /// Nodes whose certificate was due.
    Renewed(&'a [(NodeName, Result<Renewed, RenewError>)]),
    /// What a run begins with.
    Planned(&'a ClusterSpec, &'a Plan),
}

impl Paths {
    /// Where a run is recorded: with the site or, where it is not here, in a folder of this machine's
    /// own.
    pub(crate) fn history(&self) -> Result<Store, SiteError> {
        if self.credentials.is_none() {
            return Store::open(&self.state).map_err(SiteError::Store);
        }
        own_history(&self.state)
    }

    /// Where it is kept what was seen of the nodes' audit logs: with the runs. A machine without any
    /// gets no folder for a mere look.
    pub(crate) fn anchors(&self) -> Result<Option<Store>, SiteError> {
        if self.credentials.is_some() && !Store::exists(&self.state) {
            return Ok(None);
        }
        self.history().map(Some)
    }
}

impl Session {
    /// Opens the state folder and prepares the channels to the nodes. Connects to none yet.
    pub(crate) fn open(loaded: Loaded, paths: Paths) -> Result<Self, SiteError> {
        let now = SystemTime::now();
        let (operator, site) = match &paths.credentials {
            Some(path) => (OperatorCredentials::read(path, now)?, None),
            None => {
                let site = Site::open(&paths.state)?;
                (site.run_credentials(now)?, Some(Arc::new(site)))
            }
        };
        let known = site.as_deref().map(Site::known_keys).transpose()?.unwrap_or_default();
        let credentials = Arc::new(ArcSwap::from_pointee(operator.credentials.clone()));
        let channels = Channels::new(&loaded.spec, &operator.identity.site, &credentials, &known);
        let channels = channels.map_err(SiteError::Trust)?;
        let fleet = GrpcFleet::over(&channels);
        let fleet: Arc<dyn Fleet> = match paths.anchors()? {
            Some(anchors) => Arc::new(Anchored::new(fleet, anchors)),
            None => Arc::new(fleet),
        };
        let store = site.as_deref().map(Site::store).transpose()?;
        let trust = site.map(|site| SiteTrust { site, calls: TrustCalls::over(channels) });
        Ok(Self { loaded, store, fleet, paths, operator, trust })
    }

    /// Refuses what the operator's role does not allow, before a node has to.
    pub(crate) fn needs(&self, least: Role) -> Result<(), SessionError> {
        let OperatorCredentials { name, role, .. } = &self.operator;
        if *role >= least {
            return Ok(());
        }
        Err(SessionError::Role { name: name.clone(), role: *role, least })
    }

    /// Looks at all nodes, claiming none, and works out what is left of a procedure.
    pub(crate) async fn draw_up(&self, procedure: &Procedure) -> Result<Drawn, SessionError> {
        let Self { loaded, fleet, store, .. } = self;
        // Without the site's records nothing here knows how nodes were enrolled.
        let spent =
            store.as_ref().map(Store::spent_tokens).transpose().map_err(SiteError::Store)?;
        let against = roles::enrolled_as_less(&loaded.spec, &spent.unwrap_or_default());
        if !against.is_empty() {
            return Err(SessionError::Blocked(against));
        }
        let seen = survey(fleet, &loaded.spec, None).await;
        draw_up(fleet, &loaded.spec, procedure, seen).await.map_err(SessionError::Blocked)
    }

    /// Carries a procedure out, as the only run of its state folder.
    pub(crate) async fn carry_out(
        self,
        procedure: Procedure,
        began: Instant,
        view: Box<dyn View>,
        tell: &(dyn Fn(Notice<'_>) + Sync),
    ) -> Result<Outcome, SessionError> {
        self.needs(procedure.least_role())?;
        let mut store = self.paths.history()?;
        let (run, _lock) = lock(&self.paths.state)?;
        self.keep_trust(tell).await?;
        let first = self.draw_up(&procedure).await?;
        let Self { loaded: Loaded { spec, sha256, .. }, fleet, .. } = self;
        tell(Notice::Planned(&spec, &first.plan));
        let spec_sha256 = sha256.to_string();
        let interrupts = interrupts();
        let request = Request { fleet, spec, procedure, spec_sha256, run, began, interrupts };
        Ok(apply(&request, first, &mut store, view).await?)
    }

    /// Gives the nodes that answer the newest trust bundle, and a new certificate where a third of
    /// theirs is over. The run goes on where that fails.
    async fn keep_trust(&self, tell: &(dyn Fn(Notice<'_>) + Sync)) -> Result<(), SiteError> {
        let Some(SiteTrust { site, calls }) = &self.trust else { return Ok(()) };
        let (bundle, signed) = site.bundle()?;
        let statuses = calls.statuses().await;
        let due = due(site, &statuses, SystemTime::now())?;
        let mut pushed = calls.push(statuses, bundle.generation, &signed.to_json()).await;
        pushed.retain(|(_, answer)| {
            matches!(answer, Ok(Pushed::Ahead(_)) | Err(FleetError::Refused { .. }))
        });
        tell(Notice::NotPushed(bundle.generation, &pushed));
        let mut renewed = renew_all(site, calls, due, NodeCall::WhenDue, SystemTime::now()).await;
        renewed.retain(|(_, answer)| !matches!(answer, Ok(Renewed::NotDue(_))));
        tell(Notice::Renewed(&renewed));
        Ok(())
    }
}

/// A new run, alone in its state folder for as long as the lock is kept.
fn lock(state: &Path) -> Result<(RunId, RunLock), LockError> {
    let run = RunId(Uuid::now_v7().to_string());
    let holder = LockHolder { pid: std::process::id(), run: run.clone(), since_ms: now_ms() };
    Ok((run, RunLock::take(state, &holder)?))
}

/// Counts how often Ctrl-C is pressed.
fn interrupts() -> watch::Receiver<u32> {
    let (presses, pressed) = watch::channel(0);
    tokio::spawn(async move {
        while tokio::signal::ctrl_c().await.is_ok() {
            presses.send_modify(|presses| *presses += 1);
        }
    });
    pressed
}
