//! What the connection tells us.

use culvert_core::tunnel::http2::{By, Code, Event, Fields, Request, Role, StreamId};

use super::{Leg, Ours};
use crate::plan::index;
use crate::report::Report;
use crate::text;

impl Ours {
    pub(super) fn take_events(&mut self, events: &mut Vec<Event>, input: &[u8]) -> Result<(), String> {
        for event in events.drain(..) {
            self.event(event, input)?;
        }
        Ok(())
    }

    fn event(&mut self, event: Event, input: &[u8]) -> Result<(), String> {
        match event {
            Event::Request { stream, request } => self.request(stream, &request),
            Event::Answer { stream, answer } => {
                let index = self.leg(stream)?.index;
                check_fields(&self.plan.scripts[index].fields, &answer.fields)?;
                self.leg(stream)?.answered = true;
                self.reports[index].answered = Some(answer.status);
                Ok(())
            }
            Event::Data { stream, place } => self.data(stream, &input[place]),
            Event::End { stream } => {
                let index = self.leg(stream)?.index;
                self.reports[index].received_end = true;
                Ok(())
            }
            Event::Reset { by: By::Us, code, .. } => Err(format!("we had to reset a stream with {code}")),
            Event::Reset { stream, code: Code(code), by: By::Peer } => {
                let leg = self.legs.remove(&stream).ok_or("reset of an unknown stream")?;
                self.may_open = true;
                self.reports[leg.index].reset_seen = Some(code);
                Ok(())
            }
            Event::Refused { stream } => self.refused(stream),
            Event::Room { stream } => {
                self.leg(stream)?.may_send = true;
                Ok(())
            }
            Event::Capacity => {
                self.may_open = true;
                Ok(())
            }
        }
    }

    /// Of a stream we have given up nothing more may be heard, so every leg that is named is there; a reset that is about to
    /// be noticed in the same batch is no exception.
    fn leg(&mut self, stream: StreamId) -> Result<&mut Leg, String> {
        self.legs.get_mut(&stream).ok_or_else(|| format!("an event for stream {stream}, which is over"))
    }

    fn request(&mut self, stream: StreamId, request: &Request) -> Result<(), String> {
        let authority = String::from_utf8_lossy(&request.authority);
        let index = index(&authority).ok_or_else(|| format!("a request for {authority}"))?;
        check_fields(&self.plan.scripts[index].fields, &request.fields)?;
        if request.method != b"CONNECT" || self.reports[index].opened {
            return Err(format!("request {index} came twice, or as another one"));
        }
        self.reports[index] = Report { opened: true, ..Report::default() };
        self.legs.insert(stream, Leg::new(index, Role::Server, true));
        Ok(())
    }

    fn data(&mut self, stream: StreamId, octets: &[u8]) -> Result<(), String> {
        let role = self.plan.role;
        let leg = self.leg(stream)?;
        leg.backlog += octets.len();
        let index = leg.index;
        let report = &mut self.reports[index];
        if report.received_end {
            return Err(format!("payload of {index} after its end"));
        }
        let key = self.plan.scripts[index].receives(role).key;
        if !text::is(key, report.received, octets) {
            return Err(format!(
                "wrong payload of {index} in the {} octets at {}",
                octets.len(),
                report.received
            ));
        }
        report.received += octets.len();
        Ok(())
    }

    fn refused(&mut self, stream: StreamId) -> Result<(), String> {
        let leg = self.legs.remove(&stream).ok_or("a stream was refused that is over")?;
        if leg.informed && self.http2.takes_streams() {
            return Err(format!("stream {stream} was refused, and the limit was known"));
        }
        self.may_open = true;
        let refused = self.reports[leg.index].refused + 1;
        self.reports[leg.index] = Report { refused, ..Report::default() };
        self.waiting.push_back(leg.index);
        Ok(())
    }
}

fn check_fields(sent: &[(String, String)], came: &Fields) -> Result<(), String> {
    // h2 groups fields by name.
    let mut sent: Vec<(&[u8], &[u8])> = sent.iter().map(|(n, v)| (n.as_bytes(), v.as_bytes())).collect();
    let mut came: Vec<(&[u8], &[u8])> = came.iter().collect();
    sent.sort_unstable();
    came.sort_unstable();
    if sent == came { Ok(()) } else { Err("fields are not those that were sent".to_owned()) }
}
