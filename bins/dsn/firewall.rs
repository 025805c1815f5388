//! `dsn firewall`: rules of who may do what, and what waits for the operator's word. The rules made by command are in a file
//! of the folder; the farmer that runs there reads it again when it is told to.

mod fence;
mod file;
mod rule_set;
mod shown;

use std::time::{Duration, Instant};

use dsn_cli::{Exit, Failure, note};
use dsn_core::firewall::{Action, Rule};
use serde::{Serialize, de::DeserializeOwned};

pub(crate) use self::{
    fence::{Fence, Operator},
    rule_set::RuleSet,
    shown::{AskJson, ListJson},
};
use crate::{
    args::{Answer, FirewallCommand, What},
    context::Context,
    control,
    status::no_farmer,
};

/// What a farmer is asked; a number follows the last two.
pub(crate) const RELOAD: &str = "firewall reload";
pub(crate) const LIST: &str = "firewall list";
pub(crate) const PENDING: &str = "firewall pending";
pub(crate) const APPROVE: &str = "firewall approve";
pub(crate) const REJECT: &str = "firewall reject";

/// A farmer that is only starting is waited for, but no longer than this.
const STARTING: Duration = Duration::from_secs(10);
const TRY_AGAIN: Duration = Duration::from_millis(50);

/// A farmer's answer as it crosses its socket.
#[derive(Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Reply<T> {
    Done(T),
    Failed(String),
}

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
    let list = match ask::<ListJson>(context, LIST).await? {
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
    let asks = ask::<Vec<AskJson>>(context, PENDING).await?.ok_or_else(|| no_farmer(context))?;
    shown::print_asks(context.json, &asks);
    Ok(())
}

/// Answers what waits; with `--always`, rules answer it from now on.
async fn decide(context: &Context, question: &str, action: Action, answer: &Answer) -> Result<(), Failure> {
    let question = format!("{question} {}", answer.number);
    let asked = ask::<AskJson>(context, &question).await?.ok_or_else(|| no_farmer(context))?;
    if answer.always {
        return make(context, Rule { action, subject: asked.subject()? }).await;
    }
    shown::print_answered(context.json, action, &asked);
    Ok(())
}

/// Has the farmer that runs in the folder go by the file, one that is just starting too: it may have read it before.
async fn apply(context: &Context) -> Result<(), Failure> {
    let begun = Instant::now();
    loop {
        if ask::<()>(context, RELOAD).await?.is_some() {
            return Ok(());
        }
        if !control::is_there(&context.folder) {
            note("no farmer runs here: the rules hold for what is started from now on");
            return Ok(());
        }
        if begun.elapsed() > STARTING {
            let error = "the rules are changed, but the farmer that runs here does not answer";
            return Err(Failure::new(Exit::AlreadyRunning, error).hint("start it again; then it goes by them"));
        }
        tokio::time::sleep(TRY_AGAIN).await;
    }
}

/// Asks the farmer that runs in the folder; none when none answers.
async fn ask<T: DeserializeOwned>(context: &Context, question: &str) -> Result<Option<T>, Failure> {
    let Some(answer) = control::ask(&context.folder, question).await else { return Ok(None) };
    match serde_json::from_str(&answer) {
        Ok(Reply::Done(answer)) => Ok(Some(answer)),
        Ok(Reply::Failed(error)) => Err(Failure::new(Exit::NotFound, error)),
        Err(_) => {
            Err(Failure::new(Exit::AlreadyRunning, "the farmer that runs here is of a version without a firewall")
                .hint("stop it and start this version"))
        }
    }
}
