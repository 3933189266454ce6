//! What commands that carry a procedure out have in common: they show its plan, or make a run of it.

use tokio::time::Instant;

use super::{CliError, ClusterArgs, Exit};
use crate::procedure::Procedure;
use crate::session::{Notice, Session};
use crate::ui::plan_text::{self, Detail};
use crate::ui::{self, Output, trust_text};

/// Shows what a procedure would do, and changes nothing.
pub(super) async fn show(
    args: &ClusterArgs,
    session: &Session,
    procedure: &Procedure,
    defaults: &[(String, String)],
    detail: Detail,
) -> Result<Exit, CliError> {
    let plan = session.draw_up(procedure).await?.plan;
    if args.output == Output::Json {
        ui::print(&ui::json::plan(&plan, defaults));
    } else {
        let spec = &session.loaded.spec;
        ui::print(&plan_text::text(spec, &procedure.title(&spec.name), &plan, detail));
        ui::print(&plan_text::defaults(defaults));
    }
    Ok(Exit::Holds)
}

/// One run of a procedure, shown as it was asked for.
pub(super) async fn carry_out(
    args: &ClusterArgs,
    session: Session,
    procedure: Procedure,
    began: Instant,
    timings: bool,
) -> Result<Exit, CliError> {
    let tell = |notice: Notice<'_>| match notice {
        Notice::NotPushed(generation, nodes) => {
            ui::complain(&trust_text::pushed(generation, nodes));
        }
        Notice::Renewed(nodes) => ui::complain(&trust_text::renewed(nodes)),
        Notice::Planned(spec, plan) => {
            if args.output != Output::Json && !plan.is_complete() {
                ui::print(&plan_text::brief(spec, plan));
            }
        }
    };
    let view = args.output.view(timings);
    let outcome = session.carry_out(procedure, began, view, &tell).await?;
    Ok(Exit::of(&outcome))
}
