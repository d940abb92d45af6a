'use strict';
// A CSMS on ocpp-rpc, strict mode. Configuration is one JSON argument, commands are JSON lines on stdin
// (see `commands`), answers are JSON lines on stdout; the first line says the port.
//
// It is naive on purpose: every StartTransaction gets a new transaction id, also a repeated one.

const { setTimeout: after } = require('timers/promises');
const { RPCClient, RPCServer, NOREPLY, createRPCError } = require('ocpp-rpc');
const { Counters, configuration, generator, say, serve, statsOf } = require('./peer');
const { strictModeValidators } = require('./strict');

const config = configuration({
  port: 0,
  protocols: ['ocpp1.6', 'ocpp2.0.1', 'ocpp2.1'],
  delay_ms: [2, 25], // every answer waits a random time in this range, so that overlapping CALLs would show
  interval_s: 60, // heartbeat interval in the boot answer
  first_transaction_id: 1000,
  log_all: false, // every CALL received is logged, not just those of transactions
  ask_first: {}, // action -> [action, payload]: a command whose outcome is awaited before such a CALL is answered
  seed: 1,
});
const random = generator(config.seed);
const peers = new Map(); // identity -> Counters, over all its sockets
const clients = new Map(); // identity -> its open RPCServerClients, the newest last
const scripted = new Map(); // action -> answer instead of the usual one
const asked = []; // the outcomes of `ask_first`
const log = []; // every transaction message received, with its answer
const cuts = []; // [began, ended] in ms since the epoch
let transactionId = config.first_transaction_id;
let refusing = false;

const now = () => new Date().toISOString();
const accepted = { status: 'Accepted' };

const answers = {
  'ocpp1.6': {
    Authorize: () => ({ idTagInfo: accepted }),
    BootNotification: () => ({ status: 'Accepted', currentTime: now(), interval: config.interval_s }),
    DataTransfer: () => ({ status: 'UnknownVendorId' }),
    Heartbeat: () => ({ currentTime: now() }),
    SignCertificate: () => ({ status: 'Rejected' }),
    StartTransaction: () => ({ transactionId: transactionId++, idTagInfo: accepted }),
    StopTransaction: ({ idTag }) => (idTag === undefined ? {} : { idTagInfo: accepted }),
  },
  'ocpp2.0.1': {
    Authorize: () => ({ idTokenInfo: accepted }),
    BootNotification: () => ({ status: 'Accepted', currentTime: now(), interval: config.interval_s }),
    DataTransfer: () => ({ status: 'UnknownVendorId' }),
    Get15118EVCertificate: () => ({ status: 'Failed', exiResponse: '' }),
    GetCertificateStatus: () => ({ status: 'Failed' }),
    Heartbeat: () => ({ currentTime: now() }),
    NotifyEVChargingNeeds: () => ({ status: 'Rejected' }),
    NotifyEVChargingSchedule: () => accepted,
    SignCertificate: () => ({ status: 'Rejected' }),
    TransactionEvent: ({ idToken }) => (idToken === undefined ? {} : { idTokenInfo: accepted }),
  },
};
answers['ocpp2.1'] = {
  ...answers['ocpp2.0.1'],
  OpenPeriodicEventStream: () => ({ status: 'Rejected' }),
  PullDynamicScheduleUpdate: () => ({ status: 'Rejected' }),
  VatNumberValidation: ({ vatNumber }) => ({ vatNumber, status: 'Rejected' }),
};
const EMPTY = {
  'ocpp1.6': ['DiagnosticsStatusNotification', 'FirmwareStatusNotification', 'LogStatusNotification', 'MeterValues',
    'SecurityEventNotification', 'SignedFirmwareStatusNotification', 'StatusNotification'],
  'ocpp2.0.1': ['ClearedChargingLimit', 'FirmwareStatusNotification', 'LogStatusNotification', 'MeterValues',
    'NotifyChargingLimit', 'NotifyCustomerInformation', 'NotifyDisplayMessages', 'NotifyEvent',
    'NotifyMonitoringReport', 'NotifyReport', 'PublishFirmwareStatusNotification', 'ReportChargingProfiles',
    'ReservationStatusUpdate', 'SecurityEventNotification', 'StatusNotification'],
};
EMPTY['ocpp2.1'] = [...EMPTY['ocpp2.0.1'], 'BatterySwap', 'ClosePeriodicEventStream', 'NotifyDERAlarm',
  'NotifyDERStartStop', 'NotifyPriorityCharging', 'NotifySettlement', 'ReportDERControl'];
for (const [protocol, actions] of Object.entries(EMPTY)) {
  for (const action of actions) answers[protocol][action] = () => ({});
}
const LOGGED = ['StartTransaction', 'StopTransaction', 'MeterValues', 'TransactionEvent'];

async function answer(client, { messageId, method, params, signal }) {
  const entry = { identity: client.identity, message_id: messageId, action: method, params, at_ms: Date.now(),
    answer: null, answered_at_ms: null };
  if (config.log_all || LOGGED.includes(method)) log.push(entry);
  if (config.ask_first[method]) await ask(client, ...config.ask_first[method]);
  const [least, most] = config.delay_ms;
  await after(least + random() * (most - least));
  // The socket went away while we were busy: the answer is lost. Sending it would only make the library throw.
  if (signal.aborted || client.state !== RPCClient.OPEN) {
    peers.get(client.identity).lost_answers += 1;
    return NOREPLY;
  }
  const make = answers[client.protocol][method];
  if (!make) throw createRPCError('NotImplemented', `no answer for ${method}`);
  entry.answer = scripted.get(method) ?? make(params);
  entry.answered_at_ms = Date.now();
  return entry.answer;
}

// A command in the middle of the other side's CALL.
async function ask(client, action, payload) {
  const outcome = { identity: client.identity, action, result: null, error: null };
  try {
    outcome.result = await client.call(action, payload);
  } catch (error) {
    outcome.error = error.rpcErrorCode ?? error.name;
  }
  asked.push(outcome);
}

const server = new RPCServer({ protocols: config.protocols, strictMode: true, strictModeValidators, callTimeoutMs: 20_000 });

server.auth((accept, reject) => {
  if (refusing) reject(503, 'Service Unavailable');
  else accept();
});

server.on('client', (client) => {
  if (!peers.has(client.identity)) peers.set(client.identity, new Counters());
  const counters = peers.get(client.identity);
  counters.connections += 1;
  counters.watch(client);
  if (!clients.has(client.identity)) clients.set(client.identity, new Set());
  const open = clients.get(client.identity).add(client);
  counters.max_sockets = Math.max(counters.max_sockets, open.size);
  client.once('close', () => open.delete(client));
  client.handle((call) => answer(client, call));
});

function cut() {
  refusing = true;
  cuts.push([Date.now(), null]);
  for (const open of clients.values()) for (const client of open) client.close({ force: true });
}

function mend() {
  refusing = false;
  cuts.at(-1)[1] = Date.now();
}

const commands = {
  // A CALL to a station; the result or the error's code comes back.
  async call({ identity, action, payload }) {
    const client = [...(clients.get(identity) ?? [])].at(-1);
    if (!client) throw Error(`${identity} is not connected`);
    return { result: await client.call(action, payload) };
  },
  // A fixed answer for an action from now on; null brings back the usual one.
  answer({ action, payload }) {
    if (payload === null) scripted.delete(action);
    else scripted.set(action, payload);
  },
  // Drops every socket and refuses new ones for `ms`, or until `mend` if `ms` is absent.
  cut({ ms }) {
    cut();
    if (ms !== undefined) setTimeout(mend, ms);
  },
  mend,
  stats: () => ({ stats: statsOf(peers), connected: [...clients.keys()].filter((identity) => clients.get(identity).size) }),
  log: () => ({ log, cuts, asked }),
  stop: () => ({ stats: statsOf(peers) }),
};

(async () => {
  const http = await server.listen(config.port, '127.0.0.1');
  say({ ready: true, port: http.address().port });
  serve(commands);
})();
