//! Coming over from NetBox: the importer against a stand-in for NetBox's API, and what is sent against the
//! libraries that NetBox sends with.

mod check;
mod docs;
mod events;
mod import;
mod json_bodies;
mod methods;
mod python;
mod question;
mod releases;
mod sources;
mod wire;

use std::{
    fs,
    path::Path,
    process::{Output, Stdio},
};

use hookbox_tests::{
    netbox::{NetBox, TOKEN},
    process::{hookbox, stderr, stdout},
    server::{KEY, Server},
};
use serde_json::Value;

/// A hookbox to import into.
struct Session {
    server: Server,
    folder: tempfile::TempDir,
}

impl Session {
    fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let server = Server::start(&folder.path().join("data"));
        Self { server, folder }
    }

    /// Runs `hookbox import netbox` with these arguments.
    async fn import(&self, arguments: &[&str]) -> Ended {
        self.import_with_token(TOKEN, arguments).await
    }

    async fn import_with_token(&self, token: &str, arguments: &[&str]) -> Ended {
        import(&self.server.url, token, arguments).await
    }

    /// An import from a NetBox, without a question.
    async fn import_from(&self, netbox: &NetBox) -> Ended {
        self.import(&["--url", &netbox.url, "--yes"]).await
    }

    /// What hookbox has under a name.
    async fn stored(&self, list: &str, name: &str) -> Value {
        let answer = self.server.get(&format!("/v1/{list}?limit=500")).await;
        let all = answer["results"].as_array().unwrap();
        let found = all.iter().find(|item| item["name"] == name);
        found.cloned().unwrap_or(Value::Null)
    }

    async fn count(&self, list: &str) -> usize {
        let answer = self.server.get(&format!("/v1/{list}?limit=500")).await;
        answer["results"].as_array().unwrap().len()
    }

    fn file(&self, name: &str, content: &Value) -> String {
        file(self.folder.path(), name, content)
    }
}

fn file(folder: &Path, name: &str, content: &Value) -> String {
    let path = folder.join(name);
    fs::write(&path, content.to_string()).unwrap();
    path.to_str().unwrap().to_owned()
}

/// Runs `hookbox import netbox` with these arguments.
async fn import(server: &str, token: &str, arguments: &[&str]) -> Ended {
    let mut command = hookbox();
    command
        .args(["import", "netbox"])
        .args(arguments)
        .env("HOOKBOX_URL", server)
        .env("HOOKBOX_KEY", KEY)
        .env("NETBOX_TOKEN", token)
        .stdin(Stdio::null());
    // The stand-in runs on this runtime, which must not be blocked.
    let output = tokio::task::spawn_blocking(move || command.output().unwrap());
    Ended::of(&output.await.unwrap())
}

/// How a run ended.
#[derive(Debug)]
struct Ended {
    code: Option<i32>,
    out: String,
    err: String,
}

impl Ended {
    fn of(output: &Output) -> Self {
        Self {
            code: output.status.code(),
            out: stdout(output),
            err: stderr(output),
        }
    }

    /// Stdout of a run that must have had this exit code.
    fn expect(&self, code: i32) -> &str {
        assert_eq!(self.code, Some(code), "{self:#?}");
        &self.out
    }
}
