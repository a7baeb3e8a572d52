//! A client with minimq: connect, subscribe, receive, publish with quality of service 1, and the
//! session taken up again on the next connection.
#![no_std]
#![no_main]

use core::hint::black_box;

use minimq::{Buffers, ConfigBuilder, ConnectEvent, Publication, QoS, Session, TopicFilter};
use peers::{Io, run};

#[cortex_m_rt::entry]
fn main() -> ! {
    let (mut rx, mut tx) = ([0; 256], [0; 768]);
    let config = ConfigBuilder::new(Buffers::new(&mut rx, &mut tx)).client_id("board");
    let Ok(config) = config else { loop {} };
    let mut session = Session::new(config);
    loop {
        run(connection(&mut session));
    }
}

async fn connection(session: &mut Session<'_>) {
    let Ok(mut connection) = session.connect(black_box(Io)).await else { return };
    if matches!(connection.connect_event(), ConnectEvent::Connected) {
        let filters = [TopicFilter::new("board/in")];
        black_box(connection.subscribe(&filters, &[]).await.is_ok());
    }
    while let Ok(message) = connection.recv().await {
        black_box(message.payload());
        let payload = black_box([7_u8; 64]);
        let out = Publication::bytes("board/out", &payload).qos(QoS::AtLeastOnce);
        black_box(connection.publish(out).await.is_ok());
    }
}
