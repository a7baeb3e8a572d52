//! A client with rust-mqtt: connect, subscribe, receive, publish with quality of service 1, and the
//! session taken up again on the next connection.
#![no_std]
#![no_main]

use core::hint::black_box;

use peers::{Io, run};
use rust_mqtt::Bytes;
use rust_mqtt::buffer::BumpBuffer;
use rust_mqtt::client::Client;
use rust_mqtt::client::event::Event;
use rust_mqtt::client::options::{
    ConnectOptions, PublicationOptions, SubscriptionOptions, TopicReference,
};
use rust_mqtt::types::{MqttString, TopicFilter, TopicName};

type Mqtt<'c, 'b> = Client<'c, 'b, Io, BumpBuffer<'b>, 1, 8, 8, 1, 0, 0, 0>;

#[cortex_m_rt::entry]
fn main() -> ! {
    let mut memory = [0; 1024];
    let mut buffer = BumpBuffer::new(&mut memory);
    let mut client = Mqtt::new(&mut buffer);
    loop {
        run(connection(&mut client));
    }
}

async fn connection(client: &mut Mqtt<'_, '_>) -> Option<()> {
    let name = MqttString::from_str("board").ok();
    client.connect(black_box(Io), &ConnectOptions::new(), name).await.ok()?;
    let filter = TopicFilter::new(MqttString::from_str("board/in").ok()?)?;
    client.subscribe(filter, &SubscriptionOptions::new()).await.ok()?;
    let topic = TopicName::new(MqttString::from_str("board/out").ok()?)?;
    loop {
        if let Event::Publish(message) = client.poll().await.ok()? {
            black_box(&message);
            let payload = black_box([7_u8; 64]);
            let options = PublicationOptions::new(TopicReference::Name(topic.as_borrowed()));
            let options = options.at_least_once();
            client.publish(&options, Bytes::from(&payload[..])).await.ok()?;
        }
    }
}
