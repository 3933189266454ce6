//! The commands about the site itself, `init`, `node` and `serve`, on their way to the screen.

use std::sync::Arc;
use std::time::SystemTime;

use super::init::InitArgs;
use super::node::{NodeArgs, NodeCommand};
use super::serve::ServeArgs;
use super::{CliError, Exit};
use crate::ui;

pub(super) fn init(args: &InitArgs) -> Result<Exit, CliError> {
    let text = args.run(SystemTime::now())?;
    ui::print(&text);
    Ok(Exit::Holds)
}

pub(super) async fn node(args: &NodeArgs) -> Result<Exit, CliError> {
    let token = match &args.command {
        NodeCommand::Token(token) => token,
        NodeCommand::List(list) => return list.run(SystemTime::now()),
        NodeCommand::Approve(approve) => return approve.run(SystemTime::now()),
        NodeCommand::Claim(claim) => return claim.run(SystemTime::now()).await,
        NodeCommand::Remove(remove) => return remove.run().await,
        NodeCommand::Cordon(cordon) => return cordon.run(true).await,
        NodeCommand::Uncordon(cordon) => return cordon.run(false).await,
    };
    let outcome = token.run(SystemTime::now())?;
    // Alone on standard output, so that it can be piped to the node.
    ui::print(&format!("{}\n", outcome.token.expose()));
    ui::complain(&outcome.hint);
    Ok(Exit::Holds)
}

pub(super) async fn serve(args: &ServeArgs) -> Result<Exit, CliError> {
    // A claimant is not told why it is refused: this is where a person learns it.
    ui::log_warnings();
    let stop = async {
        if tokio::signal::ctrl_c().await.is_err() {
            // Without signals there is nothing to stop by: serve until killed.
            std::future::pending::<()>().await;
        }
    };
    let tell = |line: &str| ui::print(&format!("{line}\n"));
    args.run(Arc::new(SystemTime::now), stop, tell).await?;
    Ok(Exit::Holds)
}
