'use strict';
// One charging station on ocpp-rpc: it boots, charges, answers commands, and repeats what its socket lost.

const { randomUUID } = require('crypto');
const { once } = require('events');
const { setTimeout: after } = require('timers/promises');
const { RPCClient, NOREPLY, createRPCError } = require('ocpp-rpc');
const { Counters, isLost } = require('./peer');
const { strictModeValidators } = require('./strict');
const STATION = require('./station_answers');
const MESSAGES = require('./station_messages');

const ATTEMPTS = 5; // of a transaction message that gets errors; each is counted, so the run has failed anyway

// One transaction. `messages` holds what was sent, in the order it was made.
class Session {
  constructor(options, meter) {
    Object.assign(this, { reason: null, seqNo: 0, current: 16, messages: [], ...options, meter });
    this.stopped = new Promise((resolve) => { this.wake = resolve; });
  }

  stop(reason) {
    this.reason ??= reason;
    this.wake();
  }

  async wait(ms) {
    const quit = new AbortController();
    await Promise.race([this.stopped, after(ms, null, { signal: quit.signal }).catch(() => {})]);
    quit.abort();
  }
}

class Station {
  constructor(identity, protocol, config, random) {
    Object.assign(this, { identity, protocol, config, random });
    this.messages = MESSAGES[protocol];
    this.variables = { ...STATION[protocol].variables };
    this.counters = new Counters();
    this.sessions = [];
    this.session = null;
    this.received = []; // commands, in order: what the gateway let through
    this.profiles = [];
    this.tariffs = new Map();
    this.listVersion = 0;
    this.meter = Math.floor(random() * 100_000);
    this.closing = false;
    this.draining = false;
    this.underway = new Set();
    this.client = this.#makeClient();
    this.triggers = this.#makeTriggers();
  }

  #makeClient() {
    const client = new RPCClient({
      endpoint: this.config.endpoint,
      identity: this.identity,
      protocols: [this.protocol],
      strictMode: this.config.strict,
      strictModeValidators,
      callConcurrency: this.config.burst || 1,
      callTimeoutMs: this.config.call_timeout_ms,
      backoff: this.config.backoff,
    });
    this.counters.watch(client);
    client.on('open', () => { this.counters.connections += 1; });
    // The library gives up for good after some handshake errors, and when the first attempt fails.
    client.on('close', () => { if (!this.closing && !this.connecting) this.connect(); });
    client.handle((call) => this.#answer(call));
    return client;
  }

  #makeTriggers() {
    const meter = () =>
      (this.session?.id === undefined ? this.call('MeterValues', this.messages.idleMeter(this)) : this.#sample('Trigger'));
    return {
      DiagnosticsStatusNotification: () => this.call('DiagnosticsStatusNotification', { status: 'Idle' }),
      FirmwareStatusNotification: () => this.call('FirmwareStatusNotification', { status: 'Idle' }),
      Heartbeat: () => this.call('Heartbeat', {}),
      LogStatusNotification: () => this.call('LogStatusNotification', { status: 'Idle' }),
      MeterValues: this.protocol === 'ocpp1.6' ? meter : () => this.call('MeterValues', this.messages.idleMeter(this)),
      StatusNotification: () => this.status(this.session ? 'Charging' : 'Available'),
      TransactionEvent: meter,
    };
  }

  get current() { return 0; } // of the idle meter

  async #answer({ method, params, signal }) {
    this.received.push({ action: method, params });
    await after(1 + this.random() * 8);
    // The library keeps an answer to a dead socket and sends it on the next one, where nobody asked: don't answer.
    if (signal.aborted) {
      this.counters.lost_answers += 1;
      return NOREPLY;
    }
    const make = STATION[this.protocol].answers[method];
    if (!make) throw createRPCError('NotImplemented', `no answer for ${method}`);
    return make(this, params);
  }

  // Runs `work` once the answer that is being made is on its way.
  later(work) {
    const done = new Promise((resolve) => {
      setImmediate(async () => {
        try {
          await work();
        } catch (error) {
          this.counters.failed(`${this.identity} could not act`, error.message);
        }
        this.underway.delete(done);
        resolve();
      });
    });
    this.underway.add(done);
  }

  // Waits for what commands have set off.
  async settle() {
    while (this.underway.size) await Promise.all(this.underway);
  }

  async connect() {
    this.connecting = true;
    while (!this.closing) {
      try {
        await this.client.connect();
        break;
      } catch {
        await after(100 + this.random() * 400);
      }
    }
    this.connecting = false;
  }

  async boot() {
    for (;;) {
      const answer = await this.call('BootNotification', this.messages.boot(this));
      if (answer?.status === 'Accepted') break;
      await after(Math.min((answer?.interval || 1) * 1000, 1000)); // shorter than asked for: this is a test
    }
    for (const state of this.messages.bootStatus) await this.status(...state);
  }

  status(...state) {
    return this.call('StatusNotification', this.messages.status(...state));
  }

  async #opened() {
    while (this.client.state !== RPCClient.OPEN) {
      if (this.closing && !this.draining) throw Error('station is stopped');
      await once(this.client, 'open');
    }
  }

  // Sends a CALL until it gets a result; a lost socket is no error. After `attempts` errors: null.
  async call(action, payload, attempts = 1) {
    for (let failures = 0; failures < attempts;) {
      await this.#opened();
      try {
        return await this.client.call(action, payload);
      } catch (error) {
        if (isLost(error)) {
          this.counters.retries += 1;
        } else {
          failures += 1;
          if (failures < attempts) await after(500);
        }
      }
    }
    return null;
  }

  // A transaction message: kept in the session's log, repeated with the same content.
  async #transact(session, [action, payload]) {
    const entry = { action, payload, at_ms: Date.now(), answer: null, answered_at_ms: null };
    session.messages.push(entry);
    entry.answer = await this.call(action, payload, ATTEMPTS);
    entry.answered_at_ms = Date.now();
    const verdict = this.messages.verdict(entry.answer ?? {});
    if (verdict !== undefined && verdict !== 'Accepted') session.stop('DeAuthorized');
    return entry.answer;
  }

  #sample(context) {
    this.meter += Math.round(this.random() * 5000) / 100;
    this.meter = Math.round(this.meter * 100) / 100;
    this.session.meter = this.meter;
    this.session.current = Math.round(this.random() * 320) / 10;
    return this.#transact(this.session, this.messages.meter(this.session, context));
  }

  // A meter value; a bursting station sends it in a volley of `burst` CALLs at once.
  async #measure() {
    const volley = [];
    for (let n = 0; n < (this.config.burst || 1); n += 1) {
      if (n === 2) volley.push(this.status('Charging'));
      else if (n === 3) volley.push(this.call('Heartbeat', {}));
      else volley.push(this.#sample());
    }
    await Promise.all(volley);
  }

  // One whole charging session. With `hold` it lasts until a command or `release` ends it.
  async charge({ idTag, meter_values: meterValues, interval_ms: intervalMs = 50, hold = false, remote = null }) {
    const session = new Session({ idTag, remote, id: this.protocol === 'ocpp1.6' ? undefined : randomUUID() }, this.meter);
    this.session = session;
    this.sessions.push(session);
    session.done = this.#charge(session, meterValues, intervalMs, hold);
    await session.done;
  }

  async #charge(session, meterValues, intervalMs, hold) {
    if (!session.remote) await this.call('Authorize', this.messages.authorize(session.idTag));
    await this.status('Preparing');
    const answer = await this.#transact(session, this.messages.start(session));
    session.id = this.messages.idFrom(session, answer ?? { transactionId: -1 });
    await this.status('Charging');
    for (let n = 0; n < meterValues && !session.reason; n += 1) {
      await session.wait(intervalMs);
      if (!session.reason) await this.#measure();
    }
    session.measured = true;
    if (hold) await session.stopped;
    session.stop('Local');
    session.meter = this.meter;
    await this.#transact(session, this.messages.stop(session));
    this.session = null;
    if (this.messages.settle) await this.call('NotifySettlement', this.messages.settle(session));
    await this.status('Available');
    await this.call('Heartbeat', {});
    session.ended = true;
  }

  async run({ sessions = 1, ...options }) {
    this.finishing = false;
    for (let n = 0; n < sessions && !this.finishing; n += 1) {
      await after(this.random() * (options.interval_ms ?? 50));
      await this.session?.done; // one that was started remotely
      await this.rebooted;
      await this.charge({ idTag: `TAG-${this.identity}`, ...options });
    }
  }

  reboot(kind) {
    this.rebooted = this.#reboot(kind);
    return this.rebooted;
  }

  async #reboot(kind) {
    this.draining = true;
    const reason = this.messages.resetReason[kind];
    if (reason) this.session?.stop(reason);
    await this.session?.done;
    await this.close();
    this.closing = false;
    await this.connect();
    await this.boot();
    this.draining = false;
  }

  async close() {
    this.closing = true;
    await this.client.close({ code: 1000, awaitPending: true });
  }
}

module.exports = { Station };
