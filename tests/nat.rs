//! Real processes on machines of a small internet made of network namespaces: home routers, a relay, a broken cable, a bad
//! line, a network without IPv4.

#[path = "support/command.rs"]
mod command;
#[path = "nat/lab.rs"]
mod lab;

use std::time::{Duration, Instant};

use lab::{Lab, LabFarmer, Ports};

const MIB: usize = 1 << 20;

/// Where the first host with a public address is found.
const BOOTSTRAP: &str = "/ip4/198.51.100.1/tcp/4100";

/// Waits until something is so.
fn wait_for(what: &str, mut is_so: impl FnMut() -> bool) {
    let begin = Instant::now();
    while !is_so() {
        assert!(begin.elapsed() < Duration::from_secs(60), "{what}: not within a minute");
        std::thread::sleep(Duration::from_millis(200));
    }
}

/// A farmer with a public address, two in a home, and a client in another; the homes' gateways choose ports so. Something may
/// be done with their folders first.
fn two_homes(ports: Ports, prepare: impl FnOnce(&Lab)) -> Option<(Lab, Vec<LabFarmer>)> {
    let mut lab = Lab::open()?;
    lab.host("relay", "198.51.100.1/24");
    lab.host_behind("home", "198.51.100.10/24", "192.168.1", ports);
    lab.host_behind("cafe", "198.51.100.20/24", "192.168.2", ports);
    prepare(&lab);
    let listen = ["--listen", "/ip4/0.0.0.0/tcp/4100", "--listen", "/ip4/0.0.0.0/udp/4100/quic-v1"];
    let relay = lab.farm("relay", "relay", &listen);
    let hidden: Vec<_> = ["one", "two"].map(|name| lab.farm("home", name, &["--bootstrap", BOOTSTRAP])).into();
    for farmer in &hidden {
        wait_for("a farmer behind a gateway finds a relay", || {
            let reach = &lab.status(farmer)["reach"];
            reach["kind"] == "relayed" && reach["relays"][0] == relay.peer_id.as_str()
        });
    }
    assert_eq!(lab.status(&relay)["reach"]["kind"], "public");
    Some((lab, hidden))
}

/// Puts and gets a file in the one home whose pieces lie in the other, too.
fn exchange(lab: &Lab, hidden: &[LabFarmer]) {
    let file = lab.file("file", 20 * MIB);
    let cid = lab.put("cafe", BOOTSTRAP, &file);
    for farmer in hidden {
        assert!(lab.status(farmer)["pieces"].as_u64() > Some(30), "a farmer behind a gateway holds its share");
    }
    lab.get("cafe", BOOTSTRAP, &cid, &file).expect("it is there");
}

/// Direct connections that came about through holes.
fn punched(lab: &Lab, hidden: &[LabFarmer]) -> u64 {
    hidden.iter().map(|farmer| lab.status(farmer)["reach"]["hole_punched"].as_u64().expect("a number")).sum()
}

#[test]
fn two_homes_exchange_files_by_punching_holes() {
    let Some((lab, hidden)) = two_homes(Ports::Kept, |_| {}) else { return };
    exchange(&lab, &hidden);
    assert!(punched(&lab, &hidden) >= 1, "no direct connection came about");
    let doctor = command::output(lab.dsn("home", &hidden[0].dir).arg("doctor"));
    let told = String::from_utf8_lossy(&doctor.stdout).into_owned();
    assert!(doctor.status.success() && told.contains("forward a port"), "{}", command::shown(&doctor));
}

/// Gateways that answer a SYN from outside with a reset, whoever it is for: no hole of TCP comes about.
#[test]
fn two_homes_punch_holes_by_quic_where_their_gateways_reset_tcp() {
    let reset = |lab: &Lab| {
        let rule = "iifname \"wan\" tcp flags & (fin | syn | rst | ack) == syn reject with tcp reset";
        for gateway in ["homegw", "cafegw"] {
            lab.nft(
                gateway,
                &format!(
                    "table ip resets {{
                      chain through {{ type filter hook forward priority -10; {rule}; }}
                      chain into {{ type filter hook input priority -10; {rule}; }}
                    }}"
                ),
            );
        }
    };
    let Some((lab, hidden)) = two_homes(Ports::Kept, reset) else { return };
    exchange(&lab, &hidden);
    // On a busy machine the two sides may miss each other at first.
    let another = lab.file("another", MIB);
    wait_for("a direct connection comes about", || {
        let is_punched = punched(&lab, &hidden) >= 1;
        if !is_punched {
            lab.put("cafe", BOOTSTRAP, &another);
        }
        is_punched
    });
}

#[test]
fn where_no_hole_can_be_punched_the_relay_carries_the_pieces() {
    let Some((lab, hidden)) = two_homes(Ports::Random, |_| {}) else { return };
    exchange(&lab, &hidden);
    for farmer in &hidden {
        assert_eq!(lab.status(farmer)["reach"]["hole_punched"], 0, "the gateway of the lab is not what it should be");
    }
}

#[test]
fn a_farmer_whose_gateway_opens_a_port_on_request_is_dialled_like_any_other() {
    let Some(mut lab) = Lab::open() else { return };
    // Addresses as on the Internet: those for documentation are none that a gateway may have.
    let first = "/ip4/11.22.33.1/tcp/4100";
    lab.host("first", "11.22.33.1/24");
    lab.host("client", "11.22.33.20/24");
    lab.host_behind("home", "11.22.33.10/24", "192.168.1", Ports::Random);
    lab.gateway_opens_ports("home", "192.168.1.1", "11.22.33.10");
    lab.farm("first", "first", &["--listen", "/ip4/0.0.0.0/tcp/4100"]);
    let farmer = lab.farm("home", "one", &["--listen", "/ip4/0.0.0.0/tcp/4200", "--bootstrap", first]);
    wait_for("the gateway opens a port", || lab.status(&farmer)["reach"]["kind"] == "public");
    let (file, home) = (lab.file("file", 3 * MIB), "/ip4/11.22.33.10/tcp/4200");
    let cid = lab.put("client", home, &file);
    assert!(lab.status(&farmer)["pieces"].as_u64() > Some(0), "it holds pieces");
    lab.get("client", home, &cid, &file).expect("it is there");
}

/// The farmer with a public address founds a network; the folders of all others join it.
fn found(lab: &Lab) {
    let run = |name: &str, args: &[&str]| {
        let done = command::output(lab.dsn("relay", &lab.folder.path().join(name)).args(args));
        assert!(done.status.success(), "{args:?}: {}", command::shown(&done));
        String::from_utf8(done.stdout).expect("UTF-8").trim_end().to_owned()
    };
    run("relay", &["network", "new", "club"]);
    for name in ["one", "two", "client-cafe"] {
        let invitation = run("relay", &["network", "invite", "--name", name, "--bootstrap", BOOTSTRAP]);
        run(name, &["join", &invitation]);
    }
}

#[test]
fn two_homes_of_a_closed_network_exchange_files_by_its_relay_and_by_punching_holes() {
    let Some((lab, hidden)) = two_homes(Ports::Kept, found) else { return };
    exchange(&lab, &hidden);
    assert!(punched(&lab, &hidden) >= 1, "no direct connection came about");
    let status = command::output(lab.dsn("home", &hidden[0].dir).arg("status"));
    let told = String::from_utf8_lossy(&status.stdout).into_owned();
    let relay = lab.status(&hidden[0])["reach"]["relays"][0].as_str().expect("an id").to_owned();
    assert!(told.contains(&format!("behind a gateway, by relay {relay}")), "{told}");
    let file = lab.file("outsider's", MIB);
    let outsider = command::output(
        lab.dsn("home", &lab.folder.path().join("outsider")).args(["put", "--bootstrap", BOOTSTRAP]).arg(file),
    );
    assert_eq!(outsider.status.code(), Some(6), "{}", command::shown(&outsider));
}

/// Farmers at the switch, one a host, from address 1 on.
fn farmers_at_the_switch(lab: &mut Lab, count: u8) -> Vec<LabFarmer> {
    let farmer = |nth| {
        let host = format!("f{nth}");
        lab.host(&host, &format!("198.51.100.{nth}/24"));
        let mut args = vec!["--listen", "/ip4/0.0.0.0/tcp/4100"];
        if nth > 1 {
            args.extend(["--bootstrap", BOOTSTRAP]);
        }
        lab.farm(&host, &host, &args)
    };
    (1..=count).map(farmer).collect()
}

#[test]
fn both_sides_of_a_cut_cable_go_on_and_meet_again() {
    let Some(mut lab) = Lab::open() else { return };
    farmers_at_the_switch(&mut lab, 6);
    let before = lab.file("before", 3 * MIB);
    let cid = lab.put("f1", BOOTSTRAP, &before);
    let (near, far) = ("{ 198.51.100.1, 198.51.100.2, 198.51.100.3 }", "{ 198.51.100.4, 198.51.100.5, 198.51.100.6 }");
    let cut = |from: &str| {
        format!("table inet cut {{ chain into {{ type filter hook input priority 0; ip saddr {from} drop; }}; }}")
    };
    for nth in 1..=6 {
        lab.nft(&format!("f{nth}"), &cut(if nth <= 3 { far } else { near }));
    }
    let other_side = "/ip4/198.51.100.4/tcp/4100";
    lab.get("f1", BOOTSTRAP, &cid, &before).expect("half of the farmers are enough");
    lab.get("f4", other_side, &cid, &before).expect("on the other side too");
    let during = lab.file("during", 2 * MIB);
    let put_meanwhile = lab.put("f1", BOOTSTRAP, &during);
    assert!(lab.get("f4", other_side, &put_meanwhile, &during).is_err(), "the cable is not cut");
    for nth in 1..=6 {
        lab.nft(&format!("f{nth}"), "flush chain inet cut into");
    }
    wait_for("what was put on one side is read on the other", || {
        lab.get("f4", other_side, &put_meanwhile, &during).is_ok()
    });
}

#[test]
fn farmers_are_found_by_their_names() {
    let Some(mut lab) = Lab::open() else { return };
    let ids = farmers_at_the_switch(&mut lab, 3).into_iter().map(|farmer| farmer.peer_id).collect::<Vec<_>>();
    let way = |nth: usize| format!("dnsaddr=/ip4/198.51.100.{nth}/tcp/4100/p2p/{}", ids[nth - 1]);
    let aside = |nth: usize| format!("dnsaddr=/dnsaddr/f{nth}.farmers.test/p2p/{}", ids[nth - 1]);
    lab.host("names", "198.51.100.53/24");
    lab.name_server(
        "names",
        "198.51.100.53",
        &[
            ("TXT", "_dnsaddr.farmers.test", "something else that the name is for"),
            ("TXT", "_dnsaddr.farmers.test", &aside(1)),
            ("TXT", "_dnsaddr.farmers.test", &aside(2)),
            ("TXT", "_dnsaddr.f1.farmers.test", &way(1)),
            ("TXT", "_dnsaddr.f2.farmers.test", &way(2)),
            ("A", "farmer.test", "198.51.100.3"),
        ],
    );
    // One client a host, since a client remembers whom it has met.
    for (host, nth) in [("putter", 20), ("getter", 21), ("lost", 22)] {
        lab.host(host, &format!("198.51.100.{nth}/24"));
        lab.asks_for_names(host, "198.51.100.53");
    }
    let file = lab.file("file", 3 * MIB);
    let cid = lab.put("putter", "/dnsaddr/farmers.test", &file);
    lab.get("getter", "/dns4/farmer.test/tcp/4100", &cid, &file).expect("it is there");
    for name in ["/dnsaddr/nobody.test", "/dns4/nobody.test/tcp/4100"] {
        let told = lab.get("lost", name, &cid, &file).expect_err("nobody has that name");
        assert!(told.starts_with("exit Some(7)"), "{told}");
    }
    lab.get("lost", &format!("/dnsaddr/farmers.test/p2p/{}", ids[1]), &cid, &file).expect("one of the two");
}

#[test]
fn a_hundred_mebibytes_come_through_a_line_that_is_slow_and_loses_packets() {
    let Some(mut lab) = Lab::open() else { return };
    lab.bad_line(("near", "198.51.100.1/24"), ("far", "198.51.100.2/24"));
    for (nth, port) in (1..=3).zip(["4100", "4101", "4102"]) {
        let listen = format!("/ip4/198.51.100.1/tcp/{port}");
        let bootstrap = if nth == 1 { vec![] } else { vec!["--bootstrap", BOOTSTRAP] };
        lab.farm("near", &format!("farmer-{nth}"), &[vec!["--listen", &listen], bootstrap].concat());
    }
    let file = lab.file("file", 100 * MIB);
    let cid = lab.put("far", BOOTSTRAP, &file);
    lab.get("far", BOOTSTRAP, &cid, &file).expect("it is there");
}

#[test]
fn a_network_without_ipv4_works() {
    let Some(mut lab) = Lab::open() else { return };
    let bootstrap = "/ip6/2001:db8::1/tcp/4100";
    for nth in 1..=3 {
        let host = format!("f{nth}");
        lab.host(&host, &format!("2001:db8::{nth}/64"));
        let args: &[&str] = if nth == 1 { &["--listen", "/ip6/::/tcp/4100"] } else { &["--bootstrap", bootstrap] };
        lab.farm(&host, &host, args);
    }
    let file = lab.file("file", 3 * MIB);
    let cid = lab.put("f3", bootstrap, &file);
    lab.get("f2", bootstrap, &cid, &file).expect("it is there");
}
