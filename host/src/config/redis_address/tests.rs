use proptest::prelude::*;

use super::*;

fn parse(url: &str) -> Address {
    url.parse().unwrap_or_else(|e| panic!("{url}: {e}"))
}

fn node(host: &str, port: u16) -> Node {
    Node {
        host: host.to_owned(),
        port,
    }
}

fn login(user: Option<&str>, password: &str) -> Option<Credentials> {
    Some(Credentials {
        user: user.map(str::to_owned),
        password: Secret::new(password),
    })
}

#[test]
fn one_server() {
    let expected = Address {
        kind: Kind::Single,
        nodes: vec![node("localhost", 6379)],
        tls: false,
        credentials: None,
        db: 0,
    };
    for url in [
        "redis://localhost",
        "redis://localhost/",
        "REDIS://LocalHost:6379/0",
        "redis://localhost?",
    ] {
        assert_eq!(parse(url), expected, "{url}");
    }
    let full = parse("rediss://app:p%40s%2Fs%3a%C3%A9@redis_1.example.:6380/12");
    assert!(full.tls);
    assert_eq!(full.db, 12);
    assert_eq!(full.nodes, [node("redis_1.example.", 6380)]);
    assert_eq!(full.credentials, login(Some("app"), "p@s/s:é"));
}

#[test]
fn a_password_may_have_colons_and_at_signs_as_they_are() {
    assert_eq!(
        parse("redis://:a:b@c@127.0.0.1").credentials,
        login(None, "a:b@c")
    );
}

#[test]
fn ipv6_stands_in_brackets() {
    let nodes = parse("redis+cluster://[::1]:7000,[2001:DB8::1],10.0.0.1").nodes;
    assert_eq!(
        nodes,
        [
            node("::1", 7000),
            node("2001:db8::1", 6379),
            node("10.0.0.1", 6379)
        ]
    );
    assert_eq!(nodes[0].to_string(), "[::1]:7000");
}

#[test]
fn sentinels_have_a_port_and_credentials_of_their_own() {
    let address = parse(
        "rediss+sentinel://app:one@a,b:5000/3?master=my.main-1&sentinel_user=s&sentinel_password=t%26o",
    );
    assert_eq!(address.nodes, [node("a", 26379), node("b", 5000)]);
    assert_eq!(address.credentials, login(Some("app"), "one"));
    assert_eq!(address.db, 3);
    assert_eq!(
        address.kind,
        Kind::Sentinel {
            master: "my.main-1".to_owned(),
            credentials: login(Some("s"), "t&o"),
        }
    );
}

#[test]
fn what_is_wrong_is_said() {
    use AddressError as E;
    let many = format!("redis+cluster://{}", ["a"; 65].join(","));
    let long = format!("redis://{}", "a".repeat(MAX_LENGTH));
    for (url, error) in [
        ("", E::Scheme),
        ("localhost:6379", E::Scheme),
        ("http://localhost", E::Scheme),
        ("redis+://localhost", E::Scheme),
        ("redis+unix://localhost", E::Scheme),
        ("redis://local host", E::Whitespace),
        ("redis://localhost\n", E::Whitespace),
        (&long, E::TooLong),
        ("redis://a#b@localhost", E::Shape),
        ("redis://u:a/b@localhost", E::Shape),
        ("redis://u:a?b@localhost", E::Shape),
        ("redis://password@localhost", E::Credentials),
        ("redis://user:@localhost", E::Credentials),
        ("redis://user:[secret]@localhost", E::Brackets),
        (
            "redis+sentinel://a?master=m&sentinel_password=[secret]",
            E::Brackets,
        ),
        ("redis://:50%@localhost", E::Encoding),
        ("redis://:%f@localhost", E::Encoding),
        ("redis://:%ff@localhost", E::Encoding),
        ("redis://", E::Host(1)),
        ("redis://:1", E::Host(1)),
        ("redis://a..b", E::Host(1)),
        ("redis://[::1", E::Host(1)),
        ("redis://[localhost]", E::Host(1)),
        ("redis+cluster://a,,b", E::Host(2)),
        ("redis+cluster://a,b%20c", E::Host(2)),
        ("redis://::1", E::Host(1)),
        ("redis://2001:db8::1", E::Port(1)),
        ("redis://a:0", E::Port(1)),
        ("redis://a:65536", E::Port(1)),
        ("redis://a:+1", E::Port(1)),
        ("redis://a:", E::Port(1)),
        ("redis://[::1]6379", E::Port(1)),
        ("redis+cluster://a:1,b:x", E::Port(2)),
        ("redis://a,b", E::SeveralNodes),
        (&many, E::TooManyNodes),
        ("redis://a/x", E::Database),
        ("redis://a/-1", E::Database),
        ("redis://a/0/1", E::Database),
        ("redis://a/2147483648", E::Database),
        ("redis+cluster://a/0", E::DatabaseOfCluster),
        ("redis://a?db=1", E::Parameter),
        ("redis://a?master=m", E::Parameter),
        ("redis+cluster://a?sentinel_user=m", E::Parameter),
        ("redis+sentinel://a?master=m&x=1", E::Parameter),
        ("redis+sentinel://a?master", E::Parameter),
        ("redis+sentinel://a?master=m&master=n", E::ParameterTwice),
        ("redis+sentinel://a", E::MasterMissing),
        ("redis+sentinel://a?master=", E::MasterName),
        ("redis+sentinel://a?master=m%0a", E::MasterName),
        (
            "redis+sentinel://a?master=m&sentinel_user=u",
            E::SentinelPasswordMissing,
        ),
    ] {
        assert_eq!(url.parse::<Address>(), Err(error), "{url}");
    }
}

#[test]
fn a_password_is_not_printed_and_what_is_printed_is_not_taken_back() {
    for (url, shown) in [
        ("redis://app:hush@a:1/2", "redis://app:[secret]@a:1/2"),
        (
            "rediss+sentinel://:hush@a,b?master=m&sentinel_password=hush&sentinel_user=u",
            "rediss+sentinel://:[secret]@a:26379,b:26379?master=m&sentinel_user=u&sentinel_password=[secret]",
        ),
    ] {
        let address = parse(url);
        assert_eq!(address.to_string(), shown);
        assert!(!format!("{address:?}").contains("hush"));
        assert_eq!(shown.parse::<Address>(), Err(AddressError::Brackets));
    }
    let open = "redis+cluster://a:1,[::1]:2";
    assert_eq!(parse(open).to_string(), open);
}

proptest! {
    #[test]
    fn no_text_makes_it_panic(text in ".*", scheme in "rediss?(\\+sentinel|\\+cluster)?", rest in "[a-z0-9:@/?&=%,\\[\\]#.]*") {
        let _ = text.parse::<Address>();
        let _ = format!("{scheme}://{rest}").parse::<Address>();
    }

    /// Whatever else is wrong with the URL, and wherever the password stands in it.
    #[test]
    fn no_error_and_no_printed_address_shows_the_password(
        before in "(redis|rediss|redis\\+sentinel|redis\\+cluster|http)://[a-z0-9:@/?&=%,#]{0,8}",
        password in "[A-Z0-9]{8}[A-Z0-9%/?#@:\\[]{0,4}",
        after in "[a-z0-9:@/?&=%,\\[\\]#]{0,8}(\\?master=m)?",
    ) {
        let secret = &password[..8];
        for url in [
            format!("{before}{password}{after}"),
            format!("redis://u:{password}@{after}"),
            format!("redis+sentinel://u:{password}@a?master=m&sentinel_password={password}{after}"),
        ] {
            let shown = match url.parse::<Address>() {
                Err(error) => format!("{error} {error:?}"),
                Ok(address) if is_password(&address, secret) && url.matches(secret).count() == 1 => {
                    format!("{address} {address:?}")
                }
                // Then it is a host, say, and no password.
                Ok(_) => continue,
            };
            prop_assert!(!shown.contains(secret), "{}", shown);
        }
    }

    #[test]
    fn any_password_can_be_written(user in "[^\u{0}]{1,20}", password in "[^\u{0}]{1,20}", db in 0..=i32::MAX.unsigned_abs()) {
        let encode = |text| utf8_percent_encode(text, NON_ALPHANUMERIC);
        let address = parse(&format!("redis://{}:{}@h/{db}", encode(&user), encode(&password)));
        prop_assert_eq!(address.credentials, login(Some(&user), &password));
        prop_assert_eq!(address.db, db);
    }
}

/// Whether a piece of text is in what was understood to be a password.
fn is_password(address: &Address, text: &str) -> bool {
    let of_sentinel = match &address.kind {
        Kind::Sentinel { credentials, .. } => credentials.as_ref(),
        Kind::Single | Kind::Cluster => None,
    };
    [address.credentials.as_ref(), of_sentinel]
        .into_iter()
        .flatten()
        .any(|c| c.password.expose().contains(text))
}
