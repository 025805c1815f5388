//! Rules, the order in which they decide, and what the operator is asked.

use std::time::Duration;

use proptest::{collection::vec, option, prelude::*, sample::select};

use super::*;
use crate::limits::{FIREWALL_ASKS_MAX, FIREWALL_ASKS_MAX_PER_NODE, FIREWALL_RULES_MAX, FIREWALL_WORD_SECS};

const WAIT: Duration = Duration::from_secs(60);

fn node(number: u8) -> NodeId {
    NodeId([number; 32])
}

fn rule(text: &str) -> Rule {
    text.parse().unwrap_or_else(|error| panic!("{text}: {error}"))
}

/// Everything open but for these.
fn rules(texts: &[&str]) -> Rules {
    Rules::new(Defaults::OPEN, texts.iter().map(|text| rule(text)).collect()).unwrap()
}

fn firewall(texts: &[&str]) -> Firewall {
    Firewall::new(rules(texts), WAIT)
}

/// What node 1 wants, from 203.0.113.7.
fn wants(kind: Kind) -> Attempt {
    let ip = Some("203.0.113.7".parse().unwrap());
    Attempt { peer: Some(node(1)), principal: Principal::Itself, ip, direction: Direction::In, kind }
}

fn secs(secs: u64) -> Duration {
    Duration::from_secs(secs)
}

fn is_allowed(texts: &[&str], attempt: &Attempt) -> bool {
    firewall(texts).decide(attempt, Duration::ZERO) == Verdict::Allow
}

#[test]
fn a_text_that_is_no_rule_is_refused_with_what_is_wrong() {
    let error = |text: &str| text.parse::<Rule>().expect_err(text);
    for text in ["", "in", "DENY in", "denyin"] {
        assert!(matches!(error(text), RuleError::Action { .. }), "{text}");
    }
    assert_eq!(error("deny"), RuleError::Nothing);
    for word in ["peace.put", "12D3KooW", "10.0.0.0/33", "300.1.1.1", "IN", "::1/129"] {
        assert_eq!(error(&format!("deny in {word}")), RuleError::Word { word: word.into() });
    }
    for text in ["ask in out", "ask audit lease", "ask 1.2.3.4 ::/0", "ask in in"] {
        assert!(matches!(error(text), RuleError::Twice { .. }), "{text}");
    }
    let error = error("deny 10.1.2.3/8");
    assert_eq!(error.to_string(), "10.1.2.3/8 has bits set beyond its prefix: 10.0.0.0/8 or 10.1.2.3?");
}

#[test]
fn words_come_in_any_order_and_there_is_one_text_for_a_rule() {
    let peer = node(1);
    let text = format!("deny in piece.put {peer} 203.0.113.0/24");
    assert_eq!(rule(&format!("deny 203.0.113.0/24 {peer}  piece.put in")).to_string(), text);
    assert_eq!(rule("ask 203.0.113.7/32"), rule("ask 203.0.113.7"));
    assert_eq!(rule("ask ::ffff:203.0.113.7"), rule("ask 203.0.113.7"));
    assert_eq!(rule("ask ::ffff:10.0.0.0/104"), rule("ask 10.0.0.0/8"));
    assert_eq!(rule("ask ::/0").to_string(), "ask ::/0");
}

#[test]
fn ranges_end_where_their_prefix_says() {
    let inside = |range: &str, ip: &str| {
        let attempt = Attempt { ip: Some(ip.parse().unwrap()), ..wants(Kind::Audit) };
        !is_allowed(&[&format!("deny {range}")], &attempt)
    };
    for (range, ip) in [
        ("203.0.113.128/25", "203.0.113.128"),
        ("203.0.113.128/25", "203.0.113.255"),
        ("203.0.113.7", "203.0.113.7"),
        ("0.0.0.0/0", "255.255.255.255"),
        ("203.0.113.0/24", "::ffff:203.0.113.9"),
        ("::ffff:203.0.113.0/120", "203.0.113.9"),
        ("2001:db8::/33", "2001:db8:7fff:ffff::1"),
        ("::1", "::1"),
    ] {
        assert!(inside(range, ip), "{ip} in {range}");
    }
    for (range, ip) in [
        ("203.0.113.128/25", "203.0.113.127"),
        ("203.0.113.7", "203.0.113.6"),
        ("0.0.0.0/0", "2001:db8::1"),
        ("::/0", "203.0.113.9"),
        ("2001:db8::/33", "2001:db8:8000::1"),
    ] {
        assert!(!inside(range, ip), "{ip} not in {range}");
    }
    let unseen = Attempt { ip: None, ..wants(Kind::Audit) };
    assert!(is_allowed(&["deny 0.0.0.0/0", "deny ::/0"], &unseen), "an address nobody sees is in no range");
}

#[test]
fn the_first_rule_that_matches_decides() {
    let put = wants(Kind::PiecePut);
    assert!(!is_allowed(&["deny piece.put", "allow piece.put 203.0.113.7"], &put));
    assert!(is_allowed(&["allow piece.put 203.0.113.7", "deny piece.put"], &put));
    assert!(is_allowed(&["deny out piece.put"], &put));
    let (one, two) = (node(1), node(2));
    assert!(is_allowed(&[&format!("deny {two}")], &put));
    assert!(!is_allowed(&["allow audit", &format!("deny {one}"), "allow in"], &put));
    assert!(is_allowed(&["allow in", &format!("deny {one}")], &put));
    let closed = Rules::new(Defaults { inbound: Action::Deny, outbound: Action::Allow }, vec![]).unwrap();
    let mut closed = Firewall::new(closed, WAIT);
    assert_eq!(closed.decide(&put, Duration::ZERO), Verdict::Deny);
    assert_eq!(closed.decide(&Attempt { direction: Direction::Out, ..put }, Duration::ZERO), Verdict::Allow);
}

#[test]
fn a_connection_is_refused_when_nothing_could_come_of_it() {
    let known = wants(Kind::Connect);
    let unknown = Attempt { peer: None, ..known };
    let (one, two) = (node(1).to_string(), node(2).to_string());
    let check = |texts: &[&str], before: bool, after: bool| {
        assert_eq!((is_allowed(texts, &unknown), is_allowed(texts, &known)), (before, after), "{texts:?}");
    };
    check(&[], true, true);
    check(&["deny 203.0.113.0/24"], false, false);
    check(&["deny in"], false, false);
    check(&["deny out"], true, true);
    check(&["deny piece.put"], true, true);
    check(&["deny connect"], false, false);
    check(&["allow audit", "deny in"], true, true);
    check(&["allow audit", "deny connect"], false, false);
    check(&[&format!("deny {one}")], true, false);
    check(&[&format!("allow {two}"), "deny in"], true, false);
    check(&[&format!("allow {one}"), "deny in"], true, true);
    check(&[&format!("allow audit {one}"), "deny in"], true, true);
    check(&[&format!("deny {two}"), "deny in"], false, false);
    check(&["ask in"], true, true);
    check(&["ask audit", "deny in"], true, true);
}

/// What a fresh node of this member wants.
fn for_member(number: u8, kind: Kind) -> Attempt {
    Attempt { principal: Principal::Member(node(number)), ..wants(kind) }
}

#[test]
fn a_rule_names_a_node_or_the_member_for_whom_it_acts() {
    let put = |number: u8| for_member(number, Kind::PiecePut);
    let member = node(7);
    let deny = format!("deny in piece.put {member}");
    assert!(!is_allowed(&[&deny], &put(7)));
    assert!(is_allowed(&[&deny], &put(8)), "another member");
    assert!(is_allowed(&[&deny], &wants(Kind::PiecePut)), "a node of an open network");
    assert!(is_allowed(&[&deny], &for_member(7, Kind::PieceGet)));
    assert!(is_allowed(&[&format!("allow {}", node(1)), &deny], &put(7)), "whichever it names, from the top");
    assert!(!is_allowed(&[&deny, &format!("allow {}", node(1))], &put(7)));
    let connect = for_member(7, Kind::Connect);
    let dialled = Attempt { principal: Principal::Unknown, ..connect };
    for (texts, before, after) in [
        (vec![format!("deny {member}")], true, false),
        (vec![format!("allow {member}"), "deny in".into()], true, true),
        (vec![format!("allow {}", node(8)), "deny in".into()], true, false),
        (vec![format!("deny {}", node(1))], false, false),
        (vec!["deny in".into()], false, false),
    ] {
        let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
        assert_eq!((is_allowed(&texts, &dialled), is_allowed(&texts, &connect)), (before, after), "{texts:?}");
    }
}

#[test]
fn a_member_is_asked_about_once_whichever_its_nodes_are() {
    let mut firewall = firewall(&["ask in piece.put"]);
    let put = for_member(7, Kind::PiecePut);
    let again = Attempt { peer: Some(node(2)), ..put };
    let later = Verdict::Later { delay_ms: COME_AGAIN_MS };
    assert_eq!([firewall.decide(&put, secs(0)), firewall.decide(&again, secs(0))], [later; 2]);
    let waiting = firewall.pending(secs(0));
    assert_eq!(waiting.len(), 1);
    assert_eq!((waiting[0].scope.peer, waiting[0].attempt), (node(7), put));
    firewall.replace_rules(rules(&["deny audit", "ask in piece.put"]));
    firewall.answer(1, Word::Deny, secs(1)).unwrap();
    assert_eq!([put, again].map(|put| firewall.decide(&put, secs(2))), [Verdict::Deny; 2]);
    assert!(firewall.denies(&again, secs(2)));
    assert_eq!(firewall.decide(&for_member(8, Kind::PiecePut), secs(2)), later);
}

#[test]
fn a_rule_that_asks_about_a_member_asks() {
    let mut firewall = firewall(&[&format!("ask in {}", node(7))]);
    assert_eq!(firewall.decide(&for_member(8, Kind::PiecePut), secs(0)), Verdict::Allow);
    assert!(matches!(firewall.decide(&for_member(7, Kind::PiecePut), secs(0)), Verdict::Later { .. }));
    assert_eq!(firewall.pending(secs(0))[0].scope.peer, node(7));
    firewall.answer(1, Word::Deny, secs(1)).unwrap();
    assert_eq!(firewall.decide(&for_member(7, Kind::Audit), secs(2)), Verdict::Deny);
}

#[test]
fn the_word_on_a_rule_about_one_node_is_not_about_its_member() {
    let mut firewall = firewall(&[&format!("ask in {}", node(1))]);
    firewall.decide(&for_member(7, Kind::Audit), secs(0));
    assert_eq!(firewall.pending(secs(0))[0].scope.peer, node(1));
    let before = Attempt { peer: None, principal: Principal::Unknown, ..wants(Kind::Connect) };
    assert_eq!(firewall.decide(&before, secs(0)), Verdict::Allow, "nobody is asked about whom nobody knows");
}

#[test]
fn a_question_waits_is_answered_and_the_answer_holds_for_a_while() {
    let mut firewall = firewall(&["ask piece.put"]);
    let (offer, other) = (wants(Kind::PiecePut), Attempt { peer: Some(node(2)), ..wants(Kind::PiecePut) });
    let later = Verdict::Later { delay_ms: COME_AGAIN_MS };
    assert_eq!(firewall.decide(&wants(Kind::PieceGet), secs(0)), Verdict::Allow);
    for now in [0, 1, 2] {
        assert_eq!(firewall.decide(&offer, secs(now)), later);
    }
    assert_eq!(firewall.decide(&other, secs(3)), later);
    let waiting = firewall.pending(secs(4));
    assert_eq!(
        waiting.iter().map(|ask| (ask.number, ask.scope.peer)).collect::<Vec<_>>(),
        [(1, node(1)), (2, node(2))]
    );
    assert_eq!((waiting[0].since, waiting[0].until, waiting[0].attempt.kind), (secs(0), secs(60), Kind::PiecePut));
    assert_eq!(firewall.answer(7, Word::Allow, secs(4)), Err(NoSuchAsk { number: 7 }));
    firewall.answer(1, Word::Allow, secs(4)).unwrap();
    firewall.answer(2, Word::Deny, secs(4)).unwrap();
    assert_eq!(firewall.decide(&offer, secs(5)), Verdict::Allow);
    assert_eq!(firewall.decide(&other, secs(5)), Verdict::Deny);
    assert!(firewall.denies(&other, secs(5)) && !firewall.denies(&offer, secs(5)));
    assert_eq!(firewall.decide(&offer, secs(4 + FIREWALL_WORD_SECS)), later, "a word does not hold for ever");
}

#[test]
fn silence_denies_and_later_the_question_may_be_asked_again() {
    let mut firewall = firewall(&["ask in"]);
    let put = wants(Kind::PiecePut);
    let later = Verdict::Later { delay_ms: COME_AGAIN_MS };
    assert_eq!(firewall.decide(&put, secs(0)), later);
    assert!(!firewall.denies(&put, secs(59)) && firewall.denies(&put, secs(60)) && !firewall.denies(&put, secs(120)));
    assert_eq!(firewall.decide(&put, secs(60)), Verdict::Deny);
    assert_eq!(firewall.answer(1, Word::Allow, secs(60)), Err(NoSuchAsk { number: 1 }));
    assert_eq!(firewall.decide(&put, secs(119)), Verdict::Deny);
    assert_eq!(firewall.decide(&put, secs(120)), later);
    assert_eq!(firewall.pending(secs(120))[0].number, 2);
}

#[test]
fn a_rule_about_everything_asks_once_for_everything() {
    let mut firewall = firewall(&["ask in"]);
    for kind in [Kind::Info, Kind::PieceGet, Kind::PiecePut] {
        assert!(matches!(firewall.decide(&wants(kind), secs(0)), Verdict::Later { .. }));
    }
    assert_eq!(firewall.pending(secs(0)).len(), 1);
    firewall.answer(1, Word::Allow, secs(0)).unwrap();
    assert_eq!(firewall.decide(&wants(Kind::Audit), secs(1)), Verdict::Allow);
}

#[test]
fn questions_are_bounded_and_what_does_not_fit_is_denied() {
    let mut firewall = firewall(&["ask audit", "ask piece.put", "ask piece.get", "ask lease", "ask locator"]);
    let kinds = [Kind::Audit, Kind::PiecePut, Kind::PieceGet, Kind::Lease, Kind::Locator];
    let verdicts = kinds.map(|kind| firewall.decide(&wants(kind), secs(0)));
    let denied = verdicts.iter().filter(|verdict| **verdict == Verdict::Deny).count();
    assert_eq!(denied, kinds.len() - FIREWALL_ASKS_MAX_PER_NODE);
    let of = |number: usize| {
        let mut id = [9; 32];
        id[..8].copy_from_slice(&number.to_le_bytes());
        Attempt { peer: Some(NodeId(id)), ..wants(Kind::Audit) }
    };
    for number in 0..FIREWALL_ASKS_MAX + 5 {
        firewall.decide(&of(number), secs(0));
    }
    assert_eq!(firewall.pending(secs(0)).len(), FIREWALL_ASKS_MAX);
    assert_eq!(firewall.decide(&of(FIREWALL_ASKS_MAX), secs(0)), Verdict::Deny);
}

#[test]
fn other_rules_answer_what_waits() {
    let mut firewall = firewall(&["ask piece.put"]);
    let put = wants(Kind::PiecePut);
    firewall.decide(&put, secs(0));
    firewall.replace_rules(rules(&["deny audit", "ask piece.put"]));
    assert_eq!(firewall.pending(secs(0)).len(), 1, "it is still asked");
    firewall.replace_rules(rules(&[&format!("allow {}", node(1)), "ask piece.put"]));
    assert!(firewall.pending(secs(0)).is_empty());
    assert_eq!(firewall.decide(&put, secs(0)), Verdict::Allow);
}

#[test]
fn the_book_keeps_numbers_and_the_newest_rule_about_something() {
    let mut book = RuleBook::default();
    assert_eq!(book.add(rule("deny 10.0.0.0/8")), Ok(1));
    assert_eq!(book.add(rule("deny audit")), Ok(2));
    assert_eq!(book.add(rule("allow 10.0.0.0/8")), Ok(3));
    assert_eq!(book.entries(), [(3, rule("allow 10.0.0.0/8")), (2, rule("deny audit"))]);
    assert_eq!(book.remove(1), None);
    assert_eq!(book.remove(3), Some(rule("allow 10.0.0.0/8")));
    assert_eq!(book.add(rule("deny in")), Ok(4), "a number is never used again");
    assert_eq!(book.to_text(), "dsn firewall rules, format 1, 2 rules, next 5\n4 deny in\n2 deny audit\n");
    let range = |place: usize| rule(&format!("deny 10.{}.{}.1", place / 256, place % 256));
    let full = (0..FIREWALL_RULES_MAX - 2).try_for_each(|place| book.add(range(place)).map(|_| ()));
    assert_eq!(full, Ok(()));
    assert_eq!(book.add(rule("deny lease")), Err(TooManyRulesError { count: FIREWALL_RULES_MAX + 1 }));
    assert!(book.add(rule("allow in")).is_ok(), "one in the place of another always fits");
}

#[test]
fn a_damaged_book_is_refused_with_the_line() {
    let whole = "dsn firewall rules, format 1, 2 rules, next 5\n4 deny in\n2 deny audit\n";
    assert!(RuleBook::from_text(whole).is_ok());
    for (text, line) in [
        ("", 1),
        ("dsn firewall rules, format 2, 2 rules, next 5\n4 deny in\n2 deny audit\n", 1),
        ("dsn firewall rules, format 1, 2 rules, next 5\n4 deny in\n", 1),
        ("dsn firewall rules, format 1, 1 rules, next 5\n4 deny in\n2 deny audit\n", 1),
        ("dsn firewall rules, format 1, 2 rules, next 5\n4 deny in\n2 deny audit", 3),
        ("dsn firewall rules, format 1, 2 rules, next 5\n4 deny in\n2 denyaudit\n", 3),
        ("dsn firewall rules, format 1, 2 rules, next 5\n4  deny in\n2 deny audit\n", 2),
        ("dsn firewall rules, format 1, 2 rules, next 4\n4 deny in\n2 deny audit\n", 2),
        ("dsn firewall rules, format 1, 2 rules, next 5\n2 deny in\n4 deny audit\n", 3),
        ("dsn firewall rules, format 1, 2 rules, next 5\nx deny in\n2 deny audit\n", 2),
    ] {
        assert_eq!(RuleBook::from_text(text).expect_err(text).line, line, "{text}");
    }
}

fn ip() -> impl Strategy<Value = IpAddr> {
    // Few different ones, so that ranges and addresses meet.
    let v4 = (0u32..64).prop_map(|low| IpAddr::V4((0x0a00_0000 | low).into()));
    let v6 = (0u128..64).prop_map(|low| IpAddr::V6((0x2001_0db8_u128 << 96 | low).into()));
    let mapped = (0u32..64).prop_map(|low| IpAddr::V6(std::net::Ipv4Addr::from(0x0a00_0000 | low).to_ipv6_mapped()));
    prop_oneof![v4, v6, mapped]
}

fn range() -> impl Strategy<Value = Range> {
    let net = (ip(), 0u8..=128).prop_map(|(ip, len)| {
        let most = if ip.is_ipv4() { 32 } else { 128 };
        Range::of(ipnet::IpNet::new_assert(ip, most - len % (most + 1)))
    });
    prop_oneof![
        net,
        any::<(u128, u8)>().prop_map(|(ip, len)| Range::of(ipnet::IpNet::new_assert(IpAddr::V6(ip.into()), len % 129)))
    ]
}

fn any_rule() -> impl Strategy<Value = Rule> {
    let action = select(vec![Action::Allow, Action::Deny, Action::Ask]);
    let direction = option::of(select(vec![Direction::In, Direction::Out]));
    let peer = option::of((0u8..4).prop_map(node));
    let subject = (direction, option::of(select(Kind::ALL.to_vec())), peer, option::of(range()));
    (action, subject)
        .prop_map(|(action, (direction, kind, peer, range))| Rule {
            action,
            subject: Subject { direction, kind, peer, range },
        })
        .prop_filter("a rule says something", |rule| rule.subject != Subject::default())
}

fn principal() -> impl Strategy<Value = Principal> {
    let member = (0u8..4).prop_map(|number| Principal::Member(node(number)));
    prop_oneof![Just(Principal::Itself), Just(Principal::Unknown), member]
}

fn attempt() -> impl Strategy<Value = Attempt> {
    let direction = select(vec![Direction::In, Direction::Out]);
    (option::of((0u8..4).prop_map(node)), principal(), option::of(ip()), direction, select(Kind::ALL.to_vec()))
        .prop_map(|(peer, principal, ip, direction, kind)| Attempt { peer, principal, ip, direction, kind })
}

/// The rule of the house, spelled out: from the top, the first that matches.
fn from_the_top(rules: &[Rule], attempt: &Attempt) -> Action {
    let matches = |rule: &&Rule| {
        let Subject { direction, kind, peer, range } = rule.subject;
        direction.is_none_or(|is| is == attempt.direction)
            && kind.is_none_or(|is| is == attempt.kind)
            && peer.is_none_or(|name| attempt.peer == Some(name) || attempt.principal == Principal::Member(name))
            && range.is_none_or(|range| attempt.ip.is_some_and(|ip| range.contains(ip)))
    };
    rules.iter().find(matches).map_or(Action::Allow, |rule| rule.action)
}

proptest! {
    #[test]
    fn a_rule_survives_its_text_form(rule in any_rule()) {
        prop_assert_eq!(rule.to_string().parse(), Ok(rule));
    }

    #[test]
    fn any_text_is_a_rule_or_an_error(text in "(deny |ask |)[ -~]{0,60}") {
        if let Ok(rule) = text.parse::<Rule>() {
            prop_assert_eq!(rule.to_string().parse(), Ok(rule));
        }
    }

    #[test]
    fn decisions_are_those_of_reading_from_the_top(listed in vec(any_rule(), 0..12), attempt in attempt()) {
        prop_assume!(attempt.is_by_known() && attempt.kind != Kind::Connect);
        let rules = Rules::new(Defaults::OPEN, listed.clone()).unwrap();
        prop_assert_eq!(rules.judge(&attempt).action, from_the_top(&listed, &attempt));
    }

    #[test]
    fn nobody_is_refused_before_the_handshake_who_would_not_be_after_it(
        listed in vec(any_rule(), 0..12), attempt in attempt(), peer in 0u8..5, member in option::of(0u8..5),
    ) {
        let rules = Rules::new(Defaults::OPEN, listed).unwrap();
        let known = member.map_or(Principal::Itself, |number| Principal::Member(node(number)));
        let known = Attempt { peer: Some(node(peer)), principal: known, ..attempt };
        let unknown = Attempt { principal: Principal::Unknown, ..known };
        for unknown in [Attempt { peer: None, ..known }, Attempt { peer: None, ..unknown }, unknown] {
            if rules.judge(&unknown).action == Action::Deny {
                prop_assert_eq!(rules.judge(&known).action, Action::Deny);
            }
        }
    }

    #[test]
    fn a_refused_connection_costs_no_request_that_would_be_let_be(listed in vec(any_rule(), 0..6), attempt in attempt()) {
        let listed = listed.into_iter().filter(|rule| rule.subject.kind != Some(Kind::Connect)).collect();
        let rules = Rules::new(Defaults { inbound: Action::Deny, outbound: Action::Deny }, listed).unwrap();
        let requests = || Kind::ALL.into_iter().filter(|kind| *kind != Kind::Connect);
        let denied = |kind| rules.judge(&Attempt { kind, ..attempt }).action == Action::Deny;
        if rules.judge(&Attempt { kind: Kind::Connect, ..attempt }).action == Action::Deny {
            prop_assert!(requests().all(denied));
        } else {
            prop_assert!(!attempt.is_by_known() || !requests().all(denied));
        }
    }

    #[test]
    fn a_book_survives_its_text_form(rules in vec(any_rule(), 0..12), gone in 0u32..12) {
        let mut book = RuleBook::default();
        for rule in rules {
            book.add(rule).unwrap();
        }
        book.remove(gone);
        prop_assert_eq!(RuleBook::from_text(&book.to_text()), Ok(book));
    }

    #[test]
    fn any_text_is_a_book_or_an_error(text in "(dsn firewall rules, format 1, [0-3] rules, next [0-9]\n)?([0-9]? ?(deny|ask) (in|audit)\n){0,3}") {
        if let Ok(book) = RuleBook::from_text(&text) {
            prop_assert_eq!(book.to_text(), text);
        }
    }
}
