//! docs/netbox.md to the letter: its commands, run in its order, as they stand there.

use std::process::Command;

use hookbox_tests::{
    netbox::{NetBox, TOKEN, Version, rule, webhook},
    process::{program, stderr, stdout},
    server::KEY,
    sink::Sink,
};
use serde_json::{Value, json};

use super::{Ended, Session, file, python};

const DOCUMENT: &str = include_str!("../../../../docs/netbox.md");
const TERMINAL: &str = include_str!("../../../data/terminal.py");
const BODY: &str = include_str!("../../../data/netbox/body-4.6.json");

/// The shell commands, block by block.
fn blocks() -> Vec<String> {
    let mut blocks = Vec::new();
    let mut block: Option<String> = None;
    for line in DOCUMENT.lines() {
        block = match (block, line.trim()) {
            (None, "```sh") => Some(String::new()),
            (Some(text), "```") => {
                blocks.push(text);
                None
            }
            (Some(text), _) => Some(text + line + "\n"),
            (None, _) => None,
        };
    }
    blocks
}

/// Runs a block at a terminal where somebody answers the question with yes.
async fn run(session: &Session, netbox: &NetBox, block: &str) -> Ended {
    let block = block
        .replace("https://netbox.example.com", &netbox.url)
        .replace("http://127.0.0.1:8844", &session.server.url)
        .replace("hb_…", KEY)
        .replace("NETBOX_TOKEN=…", &format!("NETBOX_TOKEN={TOKEN}"))
        .replace(
            "/opt/netbox/venv/bin/python",
            python::interpreter().to_str().unwrap(),
        );
    assert!(!block.contains('…'), "{block}");
    let path = std::env::var("PATH").unwrap();
    let folder = program().parent().unwrap().to_owned();
    let mut command = Command::new(python::interpreter());
    command
        .args([
            "-I", "-c", TERMINAL, "[y/N] ", "y", "/bin/sh", "-euc", &block,
        ])
        .current_dir(session.folder.path())
        .env("PATH", format!("{}:{path}", folder.display()))
        .env("HOOKBOX_URL", &session.server.url)
        .env("HOOKBOX_KEY", KEY)
        .env("NETBOX_TOKEN", TOKEN);
    let output = tokio::task::spawn_blocking(move || command.output().unwrap());
    let output = output.await.unwrap();
    assert!(
        output.status.success(),
        "{}{}",
        stdout(&output),
        stderr(&output)
    );
    let ended: Value = serde_json::from_slice(&output.stdout).unwrap();
    Ended {
        code: ended["code"].as_i64().and_then(|code| code.try_into().ok()),
        out: ended["out"].as_str().unwrap().to_owned(),
        err: String::new(),
    }
}

#[tokio::test]
async fn the_commands_of_the_document_work_as_they_stand() {
    let (session, sink) = (Session::start(), Sink::start().await);
    let mut hook = webhook(Version::V4_6, 1, "hook");
    hook["payload_url"] = json!(sink.url());
    let rule = rule(Version::V4_6, 2, "rule", &hook);
    let netbox = NetBox::start(vec![hook], vec![rule]).await;
    let blocks = blocks();
    let [import, export, catch, check, key] = blocks.as_slice() else {
        panic!("other blocks than those that are tried here: {blocks:#?}");
    };

    let ended = run(&session, &netbox, import).await;
    let out = ended.expect(0);
    assert_eq!(
        out.matches("webhook \"hook\": create\r\n").count(),
        2,
        "{out}"
    );
    assert_eq!(session.count("event-rules").await, 1);

    let ended = run(&session, &netbox, export).await;
    assert!(ended.expect(0).contains("2 as they are"), "{}", ended.out);

    // It runs until it is stopped, with tools that are not everybody's.
    assert!(
        catch.starts_with("hookbox receiver --json | jq "),
        "{catch}"
    );
    file(
        session.folder.path(),
        "event-aa.json",
        &serde_json::from_str(BODY).unwrap(),
    );

    let ended = run(&session, &netbox, check).await;
    assert!(
        ended.expect(0).contains("1 compared, 0 differ"),
        "{}",
        ended.out
    );

    let ended = run(&session, &netbox, key).await;
    let answer = ended.expect(0).lines().find(|line| line.starts_with('{'));
    let answer: Value = serde_json::from_str(answer.unwrap()).unwrap();
    let key = answer["key"].as_str().unwrap();

    // What NetBox's feed does with that key, and all that the key can do.
    let client = reqwest::Client::new();
    let events = format!("{}/v1/events", session.server.url);
    let post = client.post(&events).bearer_auth(key).body(BODY.trim_end());
    let post = post.header("content-type", "application/json");
    assert_eq!(post.send().await.unwrap().status(), 202);
    let webhooks = format!("{}/v1/webhooks", session.server.url);
    let get = client.get(&webhooks).bearer_auth(key);
    assert_eq!(get.send().await.unwrap().status(), 403);
    sink.wait_for(1).await;
    assert_eq!(sink.received()[0].body, BODY.trim_end());

    let ended = run(&session, &netbox, "hookbox deliveries list").await;
    assert!(ended.expect(0).contains("dcim.site"), "{}", ended.out);
}
