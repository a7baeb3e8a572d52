//! Whatever becomes of the tasks that have a session: nobody waits for ever.

use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::task::Poll;

use outlast_core::{CloseCode, Config};
use outlast_service::{Closed, Handle, RequestError, SessionInfo};

use crate::executor::Sim;
use crate::world::{client, deaf, eager, serve};

const PATIENT: Config = Config { idle_timeout_ms: 0, ..Config::SERVER };

/// Polls all of them once.
async fn poll_once<T>(futures: &mut [Pin<Box<dyn Future<Output = T> + Send + '_>>]) -> Vec<bool> {
    poll_fn(|cx| Poll::Ready(futures.iter_mut().map(|f| f.as_mut().poll(cx).is_ready()).collect()))
        .await
}

/// What those come to who wait on a handle.
fn waiting(handle: &Handle) -> Vec<Pin<Box<dyn Future<Output = Closed> + Send + '_>>> {
    vec![
        Box::pin(handle.closed()),
        Box::pin(async { handle.flushed().await.unwrap_err() }),
        Box::pin(async { handle.send_receipted(1u8, b"x").await.unwrap().await.unwrap_err() }),
        Box::pin(async {
            match handle.request(1u8, b"x").await.unwrap_err() {
                RequestError::OutcomeUnknown(closed) => closed,
                RequestError::NotSent(outlast_service::SendError::Closed(closed)) => closed,
                other => panic!("{other}"),
            }
        }),
    ]
}

#[test]
fn everybody_is_told_when_a_clients_task_is_dropped() {
    let sim = Sim::new(1);
    let (_server, net) = serve(&sim, PATIENT, |_: &SessionInfo| deaf);
    let (handle, runner) = client(&sim, &net, eager(1), deaf);
    let world = sim.clone();
    sim.run(async move {
        let mut runner = Some(Box::pin(runner));
        // The first connection is all there is.
        net.plan(|number| (number == 0).then(Default::default));
        let sends = handle.clone();
        let mut sent = pin!(async move { sends.send(1u8, b"first").await.unwrap() });
        let mut slept = pin!(world.sleep(100_000));
        poll_fn(|cx| {
            let _ = runner.as_mut().unwrap().as_mut().poll(cx);
            let _ = slept.as_mut().poll(cx);
            sent.as_mut().poll(cx)
        })
        .await;
        net.last().cut(true);
        let mut waiting = waiting(&handle);
        assert!(!poll_once(&mut waiting).await.contains(&true));
        drop(runner.take());
        for told in waiting {
            assert_eq!(told.await.code, CloseCode::GOING_AWAY);
        }
    });
}
