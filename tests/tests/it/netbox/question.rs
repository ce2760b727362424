//! The question before a plan is carried out, at a real terminal.

use std::process::{Command, Stdio};

use hookbox_tests::{
    netbox::{NetBox, TOKEN, Version, rule, webhook},
    process::hookbox,
    server::KEY,
};

use super::{Ended, Session, python};

const TERMINAL: &str = include_str!("../../../data/terminal.py");
const QUESTION: &str = "Carry this out? [y/N] ";

async fn netbox() -> NetBox {
    let hook = webhook(Version::V4_6, 1, "hook");
    let rule = rule(Version::V4_6, 2, "rule", &hook);
    NetBox::start(vec![hook], vec![rule]).await
}

/// Runs the import at a terminal; what that shows is stdout and stderr in one.
async fn import(session: &Session, answer: &str, arguments: &[&str]) -> Ended {
    let mut command = Command::new(python::interpreter());
    let program = hookbox();
    command
        .args(["-I", "-c", TERMINAL, QUESTION, answer])
        .arg(program.get_program())
        .args(["import", "netbox"])
        .args(arguments)
        .env_clear()
        .envs(std::env::vars().filter(|(name, _)| !name.starts_with("HOOKBOX")))
        .env("HOOKBOX_URL", &session.server.url)
        .env("HOOKBOX_KEY", KEY)
        .env("NETBOX_TOKEN", TOKEN)
        .stdin(Stdio::null());
    let output = tokio::task::spawn_blocking(move || command.output().unwrap());
    let output = output.await.unwrap();
    assert!(output.status.success(), "{output:?}");
    let ended: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    Ended {
        code: ended["code"].as_i64().and_then(|code| code.try_into().ok()),
        out: ended["out"].as_str().unwrap().to_owned(),
        err: String::new(),
    }
}

#[tokio::test]
async fn only_a_yes_carries_the_plan_out() {
    let session = Session::start();
    let netbox = netbox().await;
    for no in ["n", "", "^D", "no", "yeah", "y n", "Yy"] {
        let ended = import(&session, no, &["--url", &netbox.url]).await;
        let out = ended.expect(1);
        assert!(out.contains("webhook \"hook\": create"), "{no:?}: {out}");
        assert!(out.contains(QUESTION), "{no:?}: {out}");
        assert!(out.contains("nothing was changed"), "{no:?}: {out}");
        assert_eq!(session.count("webhooks").await, 0, "{no:?}");
    }
    for yes in ["y", " Y ", "yes"] {
        let session = Session::start();
        let ended = import(&session, yes, &["--url", &netbox.url]).await;
        assert!(ended.expect(0).contains(QUESTION), "{yes:?}: {}", ended.out);
        assert_eq!(session.count("webhooks").await, 1, "{yes:?}");
        assert_eq!(session.count("event-rules").await, 1, "{yes:?}");
    }
}

#[tokio::test]
async fn nothing_is_asked_where_there_is_nothing_to_decide() {
    let session = Session::start();
    let netbox = netbox().await;
    for arguments in [
        ["--url", &netbox.url, "--dry-run"],
        ["--url", &netbox.url, "--yes"],
        // By now all is there.
        ["--url", &netbox.url, "--timeout=9"],
    ] {
        let ended = import(&session, "n", &arguments).await;
        let out = ended.expect(0);
        assert!(!out.contains(QUESTION), "{arguments:?}: {out}");
    }
    assert_eq!(session.count("webhooks").await, 1);
}

#[tokio::test]
async fn without_a_terminal_the_plan_is_shown_and_not_carried_out() {
    let session = Session::start();
    let netbox = netbox().await;
    let ended = session.import(&["--url", &netbox.url]).await;
    let out = ended.expect(2);
    assert!(out.contains("webhook \"hook\": create"), "{out}");
    assert!(ended.err.contains("add --yes"), "{}", ended.err);
    assert_eq!(session.count("webhooks").await, 0);
}
