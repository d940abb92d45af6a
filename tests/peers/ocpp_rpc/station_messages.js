'use strict';
// The messages a station makes, per version. A `session` is one transaction as its station sees it; each message of it
// comes as [action, payload].

const now = () => new Date().toISOString();

// 1.6 values are text: the trailing zero has to arrive. Meter registers are in Wh.
function samples16(session, context) {
  return [{
    timestamp: now(),
    sampledValue: [
      { value: session.meter.toFixed(2), context, measurand: 'Energy.Active.Import.Register', unit: 'Wh' },
      { value: session.current.toFixed(1), context, measurand: 'Current.Import', phase: 'L1', unit: 'A' },
    ],
  }];
}

const v16 = {
  boot: (station) => ({
    chargePointVendor: 'Foreign', chargePointModel: 'ocpp-rpc', chargePointSerialNumber: station.identity, firmwareVersion: '1.0',
  }),
  status: (status, connectorId = 1) => ({ connectorId, errorCode: 'NoError', status, timestamp: now() }),
  bootStatus: [['Available', 0], ['Available', 1]],
  authorize: (idTag) => ({ idTag }),
  verdict: (answer) => answer.idTagInfo?.status,
  start: (session) => ['StartTransaction',
    { connectorId: 1, idTag: session.idTag, meterStart: Math.floor(session.meter), timestamp: now() }],
  idFrom: (session, answer) => answer.transactionId,
  meter: (session, context = 'Sample.Periodic') => ['MeterValues',
    { connectorId: 1, transactionId: session.id, meterValue: samples16(session, context) }],
  stop(session) {
    const payload = {
      transactionId: session.id, timestamp: now(), meterStop: Math.floor(session.meter), reason: session.reason,
      transactionData: samples16(session, 'Transaction.End'),
    };
    if (session.reason === 'Local') payload.idTag = session.idTag;
    return ['StopTransaction', payload];
  },
  idleMeter: (session) => ({ connectorId: 1, meterValue: samples16(session, 'Trigger') }),
  resetReason: { Hard: 'HardReset', Soft: 'SoftReset' },
};

function samples201(session, context) {
  return [{
    timestamp: now(),
    sampledValue: [
      { value: session.meter, context, measurand: 'Energy.Active.Import.Register', unitOfMeasure: { unit: 'Wh' } },
      { value: session.current, context, measurand: 'Current.Import', phase: 'L1', unitOfMeasure: { unit: 'A' } },
    ],
  }];
}

function event(session, eventType, triggerReason, info, more) {
  return ['TransactionEvent', {
    eventType, timestamp: now(), triggerReason, seqNo: session.seqNo++,
    transactionInfo: { transactionId: session.id, ...info }, ...more,
  }];
}

const STOP_TRIGGER = { Local: 'StopAuthorized', Remote: 'RemoteStop', DeAuthorized: 'Deauthorized', ImmediateReset: 'ResetCommand' };

const v201 = {
  boot: (station) => ({
    reason: 'PowerUp',
    chargingStation: { vendorName: 'Foreign', model: 'ocpp-rpc', serialNumber: station.identity, firmwareVersion: '1.0' },
  }),
  status: (status) => ({
    timestamp: now(), connectorStatus: status === 'Available' ? 'Available' : 'Occupied', evseId: 1, connectorId: 1,
  }),
  bootStatus: [['Available']],
  authorize: (idTag) => ({ idToken: { idToken: idTag, type: 'ISO14443' } }),
  verdict: (answer) => answer.idTokenInfo?.status,
  start(session) {
    const info = { chargingState: 'Charging' };
    if (session.remote) info.remoteStartId = session.remote.remoteStartId;
    return event(session, 'Started', session.remote ? 'RemoteStart' : 'Authorized', info, {
      evse: { id: 1, connectorId: 1 },
      idToken: { idToken: session.idTag, type: 'ISO14443' },
      meterValue: samples201(session, 'Transaction.Begin'),
    });
  },
  idFrom: (session) => session.id,
  meter(session, context = 'Sample.Periodic') {
    const meterValue = samples201(session, context);
    // Now and then the state changes too: the gateway treats such an event differently.
    if (context === 'Sample.Periodic' && session.seqNo % 3 === 0) {
      session.chargingState = session.chargingState === 'SuspendedEV' ? 'Charging' : 'SuspendedEV';
      return event(session, 'Updated', 'ChargingStateChanged', { chargingState: session.chargingState }, { meterValue });
    }
    return event(session, 'Updated', context === 'Trigger' ? 'Trigger' : 'MeterValuePeriodic', {}, { meterValue });
  },
  stop(session) {
    const more = { meterValue: samples201(session, 'Transaction.End') };
    if (session.reason === 'Local') more.idToken = { idToken: session.idTag, type: 'ISO14443' };
    const info = { chargingState: 'EVConnected', stoppedReason: session.reason };
    return event(session, 'Ended', STOP_TRIGGER[session.reason], info, more);
  },
  idleMeter: (session) => ({ evseId: 1, meterValue: samples201(session, 'Trigger') }),
  resetReason: { Immediate: 'ImmediateReset' }, // OnIdle lets the session end by itself
};

// As 2.0.1, with members and a message that only 2.1 knows.
const v21 = {
  ...v201,
  start(session) {
    const [action, payload] = v201.start(session);
    Object.assign(payload.transactionInfo, { operationMode: 'ChargingOnly', transactionLimit: { maxEnergy: 50_000.5 } });
    return [action, payload];
  },
  meter(session, context) {
    const [action, payload] = v201.meter(session, context);
    return [action, { ...payload, evseSleep: false }];
  },
  settle: (session) => ({
    pspRef: session.id, transactionId: session.id, status: 'Settled', settlementAmount: 12.34, settlementTime: now(),
  }),
};

module.exports = { 'ocpp1.6': v16, 'ocpp2.0.1': v201, 'ocpp2.1': v21 };
