//! What to try while the stage stays up: commands to copy, each for a terminal of its own, as root.

use super::narration::print;
use super::stage::{Host, Stage, inside};

pub(crate) fn give(stage: &Stage) {
    print("Everything stays up until Ctrl-C. In another terminal, as root:");
    for (what, command) in commands(stage) {
        print(&format!("\n  # {what}\n  {command}"));
    }
    print("");
}

fn commands(stage: &Stage) -> Vec<(String, String)> {
    let curl =
        |pod: &culvert_lab::Pod, server| inside(pod.netns(), &format!("curl -sS http://{server}/hello"));
    let [a, b] = &stage.nodes;
    let mut commands = vec![
        (
            "the client asks the service; web-1 and web-2 answer".into(),
            curl(&stage.client, stage.web_address()),
        ),
        ("the client asks db, which is refused".into(), curl(&stage.client, stage.db.address())),
        ("web-1 asks db, which is allowed".into(), curl(&stage.web_1.pod, stage.db.address())),
        ("watch the wire between the nodes".into(), inside(a.node.netns(), "tcpdump -nnA -i to-node-b tcp")),
        ("the rules that capture the client's traffic".into(), inside(stage.client.netns(), "iptables-save")),
        (
            "who may do what: edit this, the nodes follow".into(),
            format!("$EDITOR {}", stage.lab.mesh_file().display()),
        ),
    ];
    commands.extend([a, b].into_iter().flat_map(of_node));
    commands
}

fn of_node(host: &Host) -> Vec<(String, String)> {
    let (name, netns) = (host.node.name(), host.node.netns());
    let pid = host.proxy.pid();
    let culvert =
        std::env::current_exe().map_or_else(|_| "culvert".to_owned(), |it| it.display().to_string());
    vec![
        (format!("{name} at work, in the terminal"), format!("{culvert} top traffic --node pid:{pid}")),
        (format!("whom {name} has refused"), format!("{culvert} get refusals --node pid:{pid}")),
        (format!("the log of {name}"), format!("tail -f {}", host.proxy.log_file().display())),
        (format!("what {name} knows"), inside(netns, "curl -s 127.0.0.1:15000/config_dump")),
        (format!("what {name} counted"), inside(netns, "curl -s 127.0.0.1:15020/metrics")),
    ]
}
