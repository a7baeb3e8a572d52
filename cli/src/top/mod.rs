//! What a server shows of itself, fetched and drawn.

mod feed;
mod view;

use std::io;
use std::time::Duration;

use ratatui::crossterm::event::{self, Event, KeyCode, KeyEventKind, KeyModifiers};

pub(crate) use feed::{Feed, Shown};
pub(crate) use view::text;

use view::View;

/// How long a key may wait until it is noticed.
const ATTENTION: Duration = Duration::from_millis(50);

/// Shows it until somebody has seen enough. The terminal is as before then, whatever happens.
pub(crate) fn live(first: Shown, feed: &Feed) -> io::Result<()> {
    let mut terminal = ratatui::try_init()?;
    let ended = (|| {
        let mut view = View::new(first);
        loop {
            terminal.draw(|frame| view.draw(frame))?;
            loop {
                if event::poll(ATTENTION)? {
                    match event::read()? {
                        Event::Key(key) if key.kind == KeyEventKind::Press => {
                            let interrupt = key.modifiers.contains(KeyModifiers::CONTROL)
                                && key.code == KeyCode::Char('c');
                            if interrupt || matches!(key.code, KeyCode::Char('q') | KeyCode::Esc) {
                                return Ok(());
                            }
                        }
                        // The size is another one.
                        Event::Resize(..) => break,
                        _ => {}
                    }
                }
                if let Some(news) = feed.next() {
                    view.renew(news);
                    break;
                }
            }
        }
    })();
    ratatui::try_restore()?;
    ended
}
