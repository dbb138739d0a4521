use super::*;

#[track_caller]
fn check(text: &str, servers: &[&str], timeout: u64, attempts: u32) {
    let Upstream { servers: found, timeout: wait, attempts: tries } =
        Content::parse(text, From::Pods).upstream;
    let found: Vec<_> = found.iter().map(ToString::to_string).collect();
    let owned: Vec<_> = servers.iter().map(|server| (*server).to_owned()).collect();
    assert_eq!((&*found, wait.as_secs(), tries), (&*owned, timeout, attempts), "{text}");
}

#[test]
fn servers_come_in_their_order_and_others_than_three_are_not_asked() {
    check("nameserver 10.96.0.10\nnameserver  fd00::a # cluster\n", &["10.96.0.10:53", "[fd00::a]:53"], 5, 2);
    let many = "nameserver 192.0.2.1\nnameserver 192.0.2.2\nnameserver 192.0.2.3\nnameserver 192.0.2.4";
    check(many, &["192.0.2.1:53", "192.0.2.2:53", "192.0.2.3:53"], 5, 2);
}

#[test]
fn what_makes_no_sense_is_as_if_it_was_not_there() {
    let text = "; nameserver 192.0.2.1\n#nameserver 192.0.2.2\nnameserver\nnameserver x\nsearch a b\nnameserver 192.0.2.3";
    check(text, &["192.0.2.3:53"], 5, 2);
    check("", &[], 5, 2);
}

#[test]
fn options_are_kept_within_reason() {
    check("options ndots:5 timeout:1 attempts:3", &[], 1, 3);
    check("options timeout:0 attempts:0\n", &[], 1, 1);
    check("options timeout:99\noptions attempts:99 timeout:x edns0", &[], 30, 5);
}

#[test]
fn a_loopback_address_is_a_server_of_this_host_and_not_of_a_pod() {
    let text = "nameserver 127.0.0.53\nnameserver ::1\nnameserver 192.0.2.1";
    check(text, &["192.0.2.1:53"], 5, 2);
    assert_eq!(Content::parse(text, From::Here).upstream.servers.len(), 3);
}

#[test]
fn a_link_local_server_is_asked_through_its_interface_and_not_from_a_pod() {
    let text = "nameserver fe80::1%lo\nnameserver fe80::2%7\nnameserver fe80::3\nnameserver fe80::4%no-such-one\nnameserver fd00::1%lo";
    let found: Vec<_> =
        Content::parse(text, From::Here).upstream.servers.iter().map(ToString::to_string).collect();
    assert_eq!(found, ["[fe80::1%1]:53", "[fe80::2%7]:53", "[fd00::1]:53"]);
    check(text, &["[fd00::1]:53"], 5, 2);
}

/// Nobody writes to it: opening it for reading waits.
#[tokio::test]
async fn a_file_that_does_not_come_is_not_waited_for_and_says_what_it_said() {
    let path = std::env::temp_dir().join(format!("culvert-resolv-pipe-{}", std::process::id()));
    assert!(std::process::Command::new("mkfifo").arg(&path).status().unwrap().success());
    let file = ResolvConf::new(path.clone(), From::Pods);
    let long_ago = Instant::now().checked_sub(FRESH).unwrap();
    *file.read.lock().unwrap() = Some((long_ago, Content::parse("nameserver 192.0.2.1", From::Pods)));
    let before = std::time::Instant::now();
    assert_eq!(file.read().await.upstream.servers.len(), 1);
    assert!(before.elapsed() < READ_DEADLINE * 2);
    // Lets the thread that reads go on.
    drop(std::fs::OpenOptions::new().write(true).open(&path).unwrap());
    std::fs::remove_file(&path).unwrap();
}

/// What is written to it is read once.
#[tokio::test]
async fn one_reads_the_file_for_all_who_wait() {
    let path = std::env::temp_dir().join(format!("culvert-resolv-once-{}", std::process::id()));
    assert!(std::process::Command::new("mkfifo").arg(&path).status().unwrap().success());
    let file = ResolvConf::new(path.clone(), From::Pods);
    let writing = tokio::task::spawn_blocking({
        let path = path.clone();
        move || std::fs::write(path, "nameserver 192.0.2.1").unwrap()
    });
    let (first, second) = tokio::join!(file.read(), file.read());
    assert_eq!((first.upstream.servers.len(), second), (1, first));
    writing.await.unwrap();
    std::fs::remove_file(&path).unwrap();
}

#[tokio::test(start_paused = true)]
async fn the_file_is_followed_and_need_not_be_there() {
    let path = std::env::temp_dir().join(format!("culvert-resolv-{}", std::process::id()));
    let file = ResolvConf::new(path.clone(), From::Pods);
    assert!(file.read().await.upstream.servers.is_empty());
    std::fs::write(&path, "nameserver 192.0.2.1").unwrap();
    assert!(file.read().await.upstream.servers.is_empty(), "still fresh");
    tokio::time::advance(FRESH).await;
    assert_eq!(&*file.read().await.upstream.servers, ["192.0.2.1:53".parse().unwrap()]);
    std::fs::remove_file(&path).unwrap();
}

#[test]
fn a_name_is_completed_unless_it_is_complete() {
    let check = |text: &str, name: &str, expected: &[&str]| {
        assert_eq!(Content::parse(text, From::Pods).search.completed(name), expected, "{text}: {name}");
    };
    check("", "web", &["web"]);
    check("search a.example B.example.", "web", &["web.a.example", "web.b.example", "web"]);
    check("search a.example", "web.b", &["web.b", "web.b.a.example"]);
    check("search a.example\noptions ndots:5", "web.b", &["web.b.a.example", "web.b"]);
    check("search a.example\noptions ndots:0", "web", &["web", "web.a.example"]);
    check("search a.example\noptions ndots:5", "web.b.", &["web.b"]);
    check("search a.example\ndomain b.example c.example", "web", &["web.b.example", "web"]);
    check("search . a", "web", &["web.a", "web"]);
    let many = "search 1 2 3 4 5 6 7 8\noptions ndots:99";
    assert_eq!(Content::parse(many, From::Pods).search.completed("a.b").len(), 7);
}
