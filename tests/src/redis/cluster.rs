//! A Redis Cluster on this machine.

use super::{Options, RedisServer, until};

/// Slots of every cluster.
const SLOTS: usize = 16_384;

/// A running cluster. Its masters come first in [`Cluster::nodes`], then their replicas.
#[derive(Debug)]
pub struct Cluster {
    /// The nodes.
    pub nodes: Vec<RedisServer>,
}

impl Cluster {
    /// Starts so many masters, each with so many replicas and all with these options, and waits until
    /// every node finds the cluster sound. Not with TLS or a password.
    #[must_use]
    pub fn start(masters: usize, replicas: usize, options: &Options) -> Self {
        let mut options = options.clone();
        options.lines.extend(
            [
                "cluster-enabled yes",
                "cluster-config-file nodes.conf",
                "cluster-node-timeout 2000",
                // A replica takes over however old its copy is: here it is never old, only new.
                "cluster-replica-validity-factor 0",
            ]
            .map(str::to_owned),
        );
        let nodes: Vec<RedisServer> = (0..masters * (1 + replicas))
            .map(|_| RedisServer::start(options.clone()))
            .collect();
        let cluster = Self { nodes };
        let (first, _) = cluster.nodes.split_first().expect("a node");
        for (number, node) in cluster.nodes.iter().enumerate() {
            // Nodes that start with one epoch each need not argue about it when they meet.
            let epoch = (number + 1).to_string();
            node.cli(&["cluster", "set-config-epoch", &epoch]);
            if number < masters {
                let (from, to) = (SLOTS * number / masters, SLOTS * (number + 1) / masters - 1);
                node.cli(&[
                    "cluster",
                    "addslotsrange",
                    &from.to_string(),
                    &to.to_string(),
                ]);
            }
            if number > 0 {
                first.cli(&["cluster", "meet", "127.0.0.1", &node.port().to_string()]);
            }
        }
        cluster.wait_for_all_to_know_each_other();
        for (number, replica) in cluster.nodes.iter().enumerate().skip(masters) {
            let master = cluster.nodes[number % masters].cli(&["cluster", "myid"]);
            replica.cli(&["cluster", "replicate", &master]);
        }
        for replica in cluster.nodes.iter().skip(masters) {
            replica.wait_for_master();
        }
        cluster.wait_until_sound();
        cluster
    }

    /// Its URL for hookbox.
    #[must_use]
    pub fn url(&self) -> String {
        let nodes: Vec<String> = self
            .nodes
            .iter()
            .map(|node| format!("127.0.0.1:{}", node.port()))
            .collect();
        format!("redis+cluster://{}", nodes.join(","))
    }

    fn wait_for_all_to_know_each_other(&self) {
        let known = format!("cluster_known_nodes:{}", self.nodes.len());
        self.wait_for_all("they know each other", &[&known]);
    }

    /// Waits until every node, all of which must run, finds that every slot is served.
    pub fn wait_until_sound(&self) {
        let served = format!("cluster_slots_ok:{SLOTS}");
        self.wait_for_all("the cluster is sound", &["cluster_state:ok", &served]);
    }

    fn wait_for_all(&self, what: &str, expected: &[&str]) {
        for node in &self.nodes {
            until(what, || {
                let info = node.ask(&["cluster", "info"]).unwrap_or_default();
                let has = |line: &&str| info.lines().any(|l| l.trim() == *line);
                expected.iter().all(has)
            });
        }
    }
}
