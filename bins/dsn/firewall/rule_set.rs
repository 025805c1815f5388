//! All rules with where they come from: those made by command, those of the configuration, the defaults.

use std::time::Duration;

use dsn_cli::{Exit, Failure, Key};
use dsn_core::firewall::{Action, Defaults, Direction, Rule, RuleBook, Rules};

use super::{
    file,
    shown::{ListJson, RuleJson},
};
use crate::{context::Context, folder::Folder};

/// What the names of the configuration's rules start with.
const CONFIGURED: &str = "config.";

/// Rules and their origins.
#[derive(Clone, Debug)]
pub(crate) struct RuleSet {
    book: RuleBook,
    configured: Vec<Rule>,
    defaults: Defaults,
    ask_timeout: Duration,
    /// Where the configuration's rules and the two defaults are set.
    origins: [String; 3],
}

impl RuleSet {
    pub(crate) fn load(context: &Context) -> Result<Self, Failure> {
        Self::with(context, file::read(&context.folder)?)
    }

    fn with(context: &Context, book: RuleBook) -> Result<Self, Failure> {
        let rule = |text: String| {
            let wrong = |error| context.misunderstood(Key::FirewallRules, format!("{text:?}: {error}"));
            text.parse::<Rule>().map_err(wrong)
        };
        let default = |key| {
            let wrong = || context.misunderstood(key, "none of allow, deny, ask");
            Action::named(context.settings.text(key)).ok_or_else(wrong)
        };
        let (inbound, outbound) = (default(Key::FirewallDefault)?, default(Key::FirewallDefaultOut)?);
        let origin = |key| context.settings.get(key).map_or_else(String::new, |(_, origin)| origin.to_string());
        let set = Self {
            book,
            configured: context.settings.list(Key::FirewallRules).into_iter().map(rule).collect::<Result<_, _>>()?,
            defaults: Defaults { inbound, outbound },
            ask_timeout: context.span(Key::FirewallAskTimeout)?,
            origins: [Key::FirewallRules, Key::FirewallDefault, Key::FirewallDefaultOut].map(origin),
        };
        set.rules()?;
        Ok(set)
    }

    /// Changes the rules made by command, unless what comes of it makes no sense with the others.
    pub(crate) fn change<T>(
        context: &Context,
        change: impl FnOnce(&mut RuleBook) -> Result<T, Failure>,
    ) -> Result<T, Failure> {
        file::change(&context.folder, |book| {
            let done = change(book)?;
            Self::with(context, book.clone())?;
            Ok(done)
        })
    }

    /// The same with the rules that the file holds now.
    pub(crate) fn reloaded(&self, folder: &Folder) -> Result<Self, Failure> {
        Ok(Self { book: file::read(folder)?, ..self.clone() })
    }

    /// In the order in which they decide.
    pub(crate) fn rules(&self) -> Result<Rules, Failure> {
        let listed = self.book.entries().iter().map(|(_, rule)| *rule).chain(self.configured.iter().copied());
        Rules::new(self.defaults, listed.collect()).map_err(|error| Failure::of(Exit::Configuration, &error))
    }

    pub(crate) fn ask_timeout(&self) -> Duration {
        self.ask_timeout
    }

    /// The configuration's rules are not for commands to remove.
    pub(crate) fn is_removable(&self, name: &str) -> Result<(), Failure> {
        let place = name.strip_prefix(CONFIGURED).and_then(|place| place.parse::<usize>().ok());
        let Some(rule) = place.and_then(|place| self.configured.get(place.checked_sub(1)?)) else { return Ok(()) };
        let error = format!("the rule \"{rule}\" is not removed by command: it is configured");
        Err(Failure::new(Exit::Configuration, error).hint(format!("it is set by {}", self.origins[0])))
    }

    /// For people to look at.
    pub(crate) fn shown(&self) -> ListJson {
        let made = |(number, rule): &(u32, Rule)| RuleJson::new(number.to_string(), rule, "command");
        let set =
            |(place, rule): (usize, &Rule)| RuleJson::new(format!("{CONFIGURED}{}", place + 1), rule, &self.origins[0]);
        let default = |action, direction: Direction, origin: &String| RuleJson {
            name: "default".into(),
            rule: format!("{action} {direction}"),
            origin: origin.clone(),
        };
        let made = self.book.entries().iter().map(made);
        let set = self.configured.iter().enumerate().map(set);
        let defaults = [
            default(self.defaults.inbound, Direction::In, &self.origins[1]),
            default(self.defaults.outbound, Direction::Out, &self.origins[2]),
        ];
        ListJson { rules: made.chain(set).chain(defaults).collect(), ask_timeout_secs: self.ask_timeout.as_secs() }
    }
}
