//! `realtime:sockets`: sockets, timers and lanes, which the crate `lanes` holds. Here are only the
//! translation and the component's own `allowed_outbound_hosts`.

use std::time::Duration;

use bytes::Bytes;
use lanes::{LaneError, Lanes, SocketError, Target, TimerError};
use url::Url;
use wasmtime::Result;
use wasmtime::component::{Accessor, HasSelf};

use super::{Ctx, outbound_http};
use crate::bindings::realtime::sockets::types::Payload;
use crate::bindings::realtime::sockets::{lanes as lanes_wit, sockets, timers, types};
use crate::mailbox;

impl From<SocketError> for sockets::Error {
    fn from(error: SocketError) -> Self {
        match error {
            SocketError::UnknownSocket => Self::UnknownSocket,
            SocketError::Full => Self::Full,
            SocketError::TooLarge => Self::TooLarge,
            SocketError::NotAllowed(reason) => Self::NotAllowed(reason),
            SocketError::TooMany => Self::TooMany,
        }
    }
}

impl From<LaneError> for lanes_wit::Error {
    fn from(error: LaneError) -> Self {
        match error {
            LaneError::Full => Self::Full,
            LaneError::TooLarge => Self::TooLarge,
            LaneError::TimedOut => Self::TimedOut,
            LaneError::Failed(reason) => Self::Failed(reason),
            LaneError::UnknownCall => Self::UnknownCall,
        }
    }
}

impl types::Host for Ctx {}

impl sockets::Host for Ctx {
    async fn is_open(&mut self, socket: String) -> Result<bool> {
        if self.grants.lanes.room(&socket).is_ok() {
            return Ok(true);
        }
        let Some(hosts) = &self.grants.hosts else {
            return Ok(false);
        };
        // Who cannot be asked may have it open.
        Ok(hosts.has_open(&socket).await.unwrap_or(true))
    }

    fn send(
        &mut self,
        socket: String,
        payloads: Vec<Payload>,
    ) -> Result<Result<(), sockets::Error>> {
        let payloads = payloads
            .into_iter()
            .map(|payload| match payload {
                Payload::Text(text) => lanes::Payload::Text(text.into()),
                Payload::Binary(bytes) => lanes::Payload::Binary(bytes.into()),
            })
            .collect();
        Ok(self
            .grants
            .lanes
            .send(&socket, payloads)
            .map_err(Into::into))
    }

    fn room(&mut self, socket: String) -> Result<Result<u32, sockets::Error>> {
        Ok(self.grants.lanes.room(&socket).map_err(Into::into))
    }

    fn close(
        &mut self,
        socket: String,
        code: u16,
        reason: String,
    ) -> Result<Result<(), sockets::Error>> {
        Ok(self
            .grants
            .lanes
            .close(&socket, code, &reason)
            .map_err(Into::into))
    }

    fn settle(
        &mut self,
        socket: String,
        account: Option<types::Account>,
    ) -> Result<Result<(), sockets::Error>> {
        // Who is known writes in the lane: it has to be this host's before that.
        if let Some(hold) = &self.hold
            && !hold.may_write()
        {
            return Ok(Err(sockets::Error::UnknownSocket));
        }
        let account = account.map(mailbox::account);
        let settled = self.grants.lanes.settle(&socket, account.as_ref());
        Ok(settled.map_err(Into::into))
    }

    fn pause(&mut self, socket: String, milliseconds: u64) -> Result<Result<(), sockets::Error>> {
        let time = Duration::from_millis(milliseconds);
        Ok(self.grants.lanes.pause(&socket, time).map_err(Into::into))
    }

    fn charge(
        &mut self,
        socket: String,
        milliseconds: u64,
        ahead: u64,
    ) -> Result<Result<u64, sockets::Error>> {
        let (cost, ahead) = (
            Duration::from_millis(milliseconds),
            Duration::from_millis(ahead),
        );
        let charged = self.grants.lanes.charge(&socket, cost, ahead);
        Ok(charged
            .map(|pause| u64::try_from(pause.as_millis()).unwrap_or(u64::MAX))
            .map_err(Into::into))
    }

    fn open(&mut self, target: sockets::Target) -> Result<Result<String, sockets::Error>> {
        if let Err(reason) = self.may_connect(&target.url) {
            return Ok(Err(sockets::Error::NotAllowed(reason)));
        }
        let opened = self.grants.lanes.open(Target {
            url: target.url,
            headers: target.headers,
            lane: target.lane,
            context: target.context,
            connect_timeout: Duration::from_millis(target.connect_timeout_ms.into()),
        });
        Ok(opened.map(|socket| socket.to_string()).map_err(Into::into))
    }
}

impl Ctx {
    fn may_connect(&self, url: &str) -> Result<(), String> {
        let url = Url::parse(url).map_err(|error| format!("not an URL: {error}"))?;
        if self.grants.allowed_outbound_hosts.allows(&url) {
            return Ok(());
        }
        outbound_http::log_refused(&self.grants.component, &url);
        Err(format!(
            "allowed_outbound_hosts of [component.{}] does not name {}://{}",
            self.grants.component,
            url.scheme(),
            url.host_str().unwrap_or_default()
        ))
    }
}

impl timers::Host for Ctx {
    fn set(
        &mut self,
        lane: String,
        name: String,
        delay_ms: u64,
    ) -> Result<Result<(), timers::Error>> {
        let set = self
            .grants
            .lanes
            .set_timer(&lane, &name, Duration::from_millis(delay_ms));
        Ok(set.map_err(|TimerError::TooMany| timers::Error::TooMany))
    }

    fn cancel(&mut self, lane: String, name: String) -> Result<()> {
        self.grants.lanes.cancel_timer(&lane, &name);
        Ok(())
    }
}

impl lanes_wit::Host for Ctx {
    fn post(&mut self, lane: String, body: Vec<u8>) -> Result<Result<(), lanes_wit::Error>> {
        Ok(self
            .grants
            .lanes
            .post(&lane, Bytes::from(body))
            .map_err(Into::into))
    }

    fn reply(&mut self, call: String, body: Vec<u8>) -> Result<Result<(), lanes_wit::Error>> {
        Ok(self
            .grants
            .lanes
            .reply(&call, Bytes::from(body))
            .map_err(Into::into))
    }
}

impl<T: 'static> lanes_wit::HostWithStore<T> for HasSelf<Ctx> {
    async fn call(
        accessor: &Accessor<T, Self>,
        lane: String,
        body: Vec<u8>,
        timeout_ms: u32,
    ) -> Result<Result<Vec<u8>, lanes_wit::Error>> {
        let lanes: Lanes = accessor.with(|mut access| access.get().grants.lanes.clone());
        let timeout = Duration::from_millis(timeout_ms.into());
        let answer = lanes.ask(&lane, Bytes::from(body), timeout).await;
        Ok(answer.map(Vec::from).map_err(Into::into))
    }
}
