//! `dsn firewall`: rules of who may do what, and what waits for the operator's word. The rules made by command are in a file
//! of the folder; the farmer that runs there reads it again when it is told to.

mod fence;
mod file;
mod ours;
mod rule_set;
mod shown;

use dsn_cli::{Exit, Failure};
use dsn_core::firewall::{Action, Rule};

use self::ours::{apply, ask};
pub(crate) use self::{
    fence::{Fence, Operator},
    ours::{APPROVE, LIST, PENDING, REJECT, RELOAD, Reply},
    rule_set::RuleSet,
    shown::{AskJson, ListJson},
};
use crate::{
    args::{Answer, FirewallCommand, What},
    context::Context,
    status::no_farmer,
};

pub(crate) async fn run(context: &Context, command: &FirewallCommand) -> Result<(), Failure> {
    match command {
        FirewallCommand::List => list(context).await,
        FirewallCommand::Allow(what) => add(context, Action::Allow, what).await,
        FirewallCommand::Deny(what) => add(context, Action::Deny, what).await,
        FirewallCommand::Ask(what) => add(context, Action::Ask, what).await,
        FirewallCommand::Remove { name } => remove(context, name).await,
        FirewallCommand::Pending => pending(context).await,
        FirewallCommand::Approve(answer) => decide(context, APPROVE, Action::Allow, answer).await,
        FirewallCommand::Reject(answer) => decide(context, REJECT, Action::Deny, answer).await,
    }
}

async fn list(context: &Context) -> Result<(), Failure> {
    let list = match ask::<ListJson>(context, LIST, Exit::Internal).await? {
        Some(list) => list,
        None => RuleSet::load(context)?.shown(),
    };
    list.print(context.json);
    Ok(())
}

async fn add(context: &Context, action: Action, what: &What) -> Result<(), Failure> {
    let subject = what.words.join(" ").parse();
    let subject = subject.map_err(|error| {
        Failure::of(Exit::Usage, &error).hint(format!("usage: dsn firewall {action} [in|out] [KIND] [PEER] [RANGE]"))
    })?;
    make(context, Rule { action, subject }).await
}

async fn make(context: &Context, rule: Rule) -> Result<(), Failure> {
    let number = RuleSet::change(context, |book| {
        book.add(rule).map_err(|error| Failure::of(Exit::Configuration, &error).hint("remove some first"))
    })?;
    shown::print_rule(context.json, number, rule);
    apply(context).await
}

async fn remove(context: &Context, name: &str) -> Result<(), Failure> {
    RuleSet::load(context)?.is_removable(name)?;
    let missing = || Failure::new(Exit::NotFound, format!("no rule has the number {name}"));
    let rule = RuleSet::change(context, |book| {
        let removed = name.parse().ok().and_then(|number| book.remove(number));
        removed.ok_or_else(|| missing().hint("`dsn firewall list` shows the numbers"))
    })?;
    shown::print_removed(context.json, name, rule);
    apply(context).await
}

async fn pending(context: &Context) -> Result<(), Failure> {
    let asks = ask::<Vec<AskJson>>(context, PENDING, Exit::Internal).await?.ok_or_else(|| no_farmer(context))?;
    shown::print_asks(context.json, &asks);
    Ok(())
}

/// Answers what waits; with `--always`, rules answer it from now on.
async fn decide(context: &Context, question: &str, action: Action, answer: &Answer) -> Result<(), Failure> {
    let question = format!("{question} {}", answer.number);
    let asked = ask::<AskJson>(context, &question, Exit::NotFound).await?.ok_or_else(|| no_farmer(context))?;
    if answer.always {
        return make(context, Rule { action, subject: asked.subject()? }).await;
    }
    shown::print_answered(context.json, action, &asked);
    Ok(())
}
