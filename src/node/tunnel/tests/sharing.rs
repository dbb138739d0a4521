//! Which connections share a tunnel.

use super::*;

#[tokio::test]
async fn callers_at_the_same_time_share_one_tunnel() {
    let authority = TestAuthority::new("one");
    let server = Server::start(&authority, echo).await;
    let (pool, key) = (pool(&authority, config(&[]).tunnel), key(&server));
    let mut callers = tokio::task::JoinSet::new();
    for _ in 0..50 {
        let (pool, key) = (pool.clone(), key.clone());
        callers.spawn(async move { open(&pool, &key).await.unwrap() });
    }
    let all = soon(callers.join_all()).await;
    assert_eq!((all.len(), server.tunnels()), (50, 1));
}

#[tokio::test]
async fn a_full_tunnel_is_joined_by_another_and_used_again_when_streams_end() {
    let authority = TestAuthority::new("one");
    let server = Server::start(&authority, echo).await;
    let pool = pool(&authority, config(&[("POOL_MAX_STREAMS_PER_CONNECTION", "2")]).tunnel);
    let key = key(&server);
    let mut open_now = Vec::new();
    for expected in [1, 1, 2, 2, 3] {
        open_now.push(open(&pool, &key).await.unwrap());
        assert_eq!(server.tunnels(), expected);
    }
    open_now.drain(0..2);
    open_now.push(open(&pool, &key).await.unwrap());
    open_now.push(open(&pool, &key).await.unwrap());
    assert_eq!(server.tunnels(), 3);
}

#[tokio::test]
async fn different_keys_never_share() {
    let authority = TestAuthority::new("one");
    let server = Server::start(&authority, echo).await;
    let pool = pool(&authority, config(&[]).tunnel);
    let first = key(&server);
    let other_source = Key { source: IpAddr::V4(Ipv4Addr::new(10, 0, 0, 9)), ..first.clone() };
    let other_identity = Key { identity: account("other"), ..first.clone() };
    let other_expected = Key { expected: vec![account("web"), account("more")], ..first.clone() };
    let keys = [first, other_source, other_identity, other_expected];
    let mut opened = Vec::new();
    for (i, key) in keys.iter().enumerate() {
        opened.push(open(&pool, key).await.unwrap());
        assert_eq!(server.tunnels(), i + 1);
    }
}

#[tokio::test]
async fn tunnels_that_only_finish_old_streams_do_not_use_up_the_tries_of_new_ones() {
    let authority = TestAuthority::new("one");
    let server = Server::start(&authority, echo).await;
    let pool = pool(&authority, config(&[("POOL_MAX_STREAMS_PER_CONNECTION", "2")]).tunnel);
    let key = key(&server);
    let mut old = Vec::new();
    for _ in 0..12 {
        old.push(open(&pool, &key).await.unwrap());
    }
    // Six tunnels, each with a stream and a free place.
    let mut old: Vec<Caller> = old.into_iter().step_by(2).collect();
    let drains = server.drains().into_iter();
    let draining: Vec<_> = drains.map(|drain| tokio::spawn(drain.drain(Duration::from_secs(20)))).collect();
    // Long enough for each GOAWAY to arrive before an echo does.
    for _ in 0..20 {
        for caller in &mut old {
            caller.echoes("still here").await;
        }
    }
    open(&pool, &key).await.unwrap();
    draining.iter().for_each(tokio::task::JoinHandle::abort);
}

#[tokio::test]
async fn a_burst_to_a_cold_peer_gets_as_many_tunnels_as_it_takes() {
    const CALLERS: usize = 8;
    let authority = TestAuthority::new("one");
    let server = Server::start(&authority, echo).await;
    let pool = pool(&authority, config(&[("POOL_MAX_STREAMS_PER_CONNECTION", "1")]).tunnel);
    let mut callers = tokio::task::JoinSet::new();
    for _ in 0..CALLERS {
        let (pool, key) = (pool.clone(), key(&server));
        callers.spawn(async move { open(&pool, &key).await });
    }
    let mut open = Vec::new();
    while let Some(caller) = callers.join_next().await {
        open.push(caller.unwrap().unwrap());
    }
    assert_eq!((open.len(), server.tunnels()), (CALLERS, CALLERS));
}
