'use strict';
// What a station answers to each CSMS command, per version: (station, params) -> CALLRESULT payload.
// What a command sets off comes after its answer: `station.later(fn)`.

const accepted = () => ({ status: 'Accepted' });
const rejected = () => ({ status: 'Rejected' });
const now = () => new Date().toISOString();

const CONFIGURATION = {
  AuthorizeRemoteTxRequests: 'false',
  ChargeProfileMaxStackLevel: '8',
  ChargingScheduleAllowedChargingRateUnit: 'Current,Power',
  ChargingScheduleMaxPeriods: '24',
  ConnectorPhaseRotation: '1.RST',
  HeartbeatInterval: '60',
  LocalAuthListMaxLength: '500',
  MaxChargingProfilesInstalled: '10',
  MeterValueSampleInterval: '60',
  MeterValuesSampledData: 'Energy.Active.Import.Register,Current.Import',
  NumberOfConnectors: '1',
  SendLocalListMaxLength: '100',
  StopTransactionOnInvalidId: 'true',
  SupportedFeatureProfiles: 'Core,FirmwareManagement,LocalAuthListManagement,Reservation,SmartCharging,RemoteTrigger',
};
const READ_ONLY = ['ChargeProfileMaxStackLevel', 'ChargingScheduleAllowedChargingRateUnit', 'ChargingScheduleMaxPeriods',
  'LocalAuthListMaxLength', 'MaxChargingProfilesInstalled', 'NumberOfConnectors', 'SendLocalListMaxLength',
  'SupportedFeatureProfiles'];

function getConfiguration(station, { key }) {
  const wanted = key?.length ? key : Object.keys(station.variables);
  const known = wanted.filter((name) => name in station.variables);
  return {
    configurationKey: known.map((name) => ({ key: name, readonly: READ_ONLY.includes(name), value: station.variables[name] })),
    unknownKey: wanted.filter((name) => !(name in station.variables)),
  };
}

function changeConfiguration(station, { key, value }) {
  if (!(key in station.variables)) return { status: 'NotSupported' };
  if (READ_ONLY.includes(key)) return rejected();
  station.variables[key] = value;
  return accepted();
}

// Installs or clears; the last set survives for the test to read.
function setProfile(station, params) {
  station.profiles.push(params);
  return accepted();
}

function clearProfile(station) {
  if (station.profiles.length === 0) return { status: 'Unknown' };
  station.profiles.length = 0;
  return accepted();
}

function changeAvailability(station) {
  station.later(() => station.status('Available'));
  return accepted();
}

function sendLocalList(station, { listVersion, versionNumber }) {
  station.listVersion = listVersion ?? versionNumber;
  return accepted();
}

function trigger(station, { requestedMessage }) {
  if (requestedMessage === 'BootNotification') return rejected(); // already accepted
  const send = station.triggers[requestedMessage];
  if (!send) return { status: 'NotImplemented' };
  station.later(send);
  return accepted();
}

function remoteStart(station, params, idTag) {
  if (station.session || station.draining) return rejected();
  station.later(() => station.charge({ idTag, remote: params, meter_values: 1, hold: true }));
  return accepted();
}

function remoteStop(station, transactionId) {
  if (!station.session || station.session.id !== transactionId) return rejected();
  station.session.stop('Remote');
  return accepted();
}

function reset(station, kind) {
  station.later(() => station.reboot(kind));
  return accepted();
}

// A few states of a file on its way, then done.
function report(station, action, states, extra = {}) {
  station.later(async () => {
    for (const status of states) await station.call(action, { status, ...extra });
  });
}

function diagnostics(station) {
  report(station, 'DiagnosticsStatusNotification', ['Uploading', 'Uploaded']);
  return { fileName: 'diagnostics.txt' };
}

function uploadLog(station, { requestId }) {
  report(station, 'LogStatusNotification', ['Uploading', 'Uploaded'], { requestId });
  return { status: 'Accepted', filename: 'log.txt' };
}

const FIRMWARE = ['Downloading', 'Downloaded', 'Installing', 'Installed'];

function updateFirmware(station, action, extra) {
  report(station, action, FIRMWARE, extra);
}

const v16 = {
  CancelReservation: accepted,
  CertificateSigned: accepted,
  ChangeAvailability: changeAvailability,
  ChangeConfiguration: changeConfiguration,
  ClearCache: accepted,
  ClearChargingProfile: clearProfile,
  DataTransfer: () => ({ status: 'UnknownVendorId' }),
  DeleteCertificate: () => ({ status: 'NotFound' }),
  ExtendedTriggerMessage: trigger,
  GetCompositeSchedule: rejected,
  GetConfiguration: getConfiguration,
  GetDiagnostics: diagnostics,
  GetInstalledCertificateIds: () => ({ status: 'NotFound' }),
  GetLocalListVersion: (station) => ({ listVersion: station.listVersion }),
  GetLog: uploadLog,
  InstallCertificate: accepted,
  RemoteStartTransaction: (station, params) => remoteStart(station, params, params.idTag),
  RemoteStopTransaction: (station, { transactionId }) => remoteStop(station, transactionId),
  ReserveNow: accepted,
  Reset: (station, { type }) => reset(station, type),
  SendLocalList: sendLocalList,
  SetChargingProfile: setProfile,
  SignedUpdateFirmware(station, { requestId }) {
    updateFirmware(station, 'SignedFirmwareStatusNotification', { requestId });
    return accepted();
  },
  TriggerMessage: trigger,
  UnlockConnector: () => ({ status: 'Unlocked' }),
  UpdateFirmware(station) {
    updateFirmware(station, 'FirmwareStatusNotification', {});
    return {};
  },
};

// 2.x variables live in one flat table here: "Component.Variable".
const nameOf = ({ component, variable }) => `${component.name}.${variable.name}`;

const VARIABLES = {
  'AuthCtrlr.Enabled': 'true',
  'ClockCtrlr.DateTime': '2024-01-01T00:00:00Z',
  'OCPPCommCtrlr.HeartbeatInterval': '60',
  'SampledDataCtrlr.TxUpdatedInterval': '60',
  'SmartChargingCtrlr.Enabled': 'true',
};

function getVariables(station, { getVariableData }) {
  return {
    getVariableResult: getVariableData.map(({ component, variable }) => {
      const value = station.variables[nameOf({ component, variable })];
      if (value === undefined) return { attributeStatus: 'UnknownVariable', component, variable };
      return { attributeStatus: 'Accepted', attributeValue: value, component, variable };
    }),
  };
}

function setVariables(station, { setVariableData }) {
  return {
    setVariableResult: setVariableData.map(({ component, variable, attributeValue }) => {
      const name = nameOf({ component, variable });
      if (!(name in station.variables)) return { attributeStatus: 'UnknownVariable', component, variable };
      station.variables[name] = attributeValue;
      return { attributeStatus: 'Accepted', component, variable };
    }),
  };
}

function getReport(station, { requestId }) {
  const reportData = Object.entries(station.variables).map(([name, value]) => ({
    component: { name: name.split('.')[0] },
    variable: { name: name.split('.')[1] },
    variableAttribute: [{ value }],
  }));
  station.later(() => station.call('NotifyReport', { requestId, generatedAt: now(), seqNo: 0, tbc: false, reportData }));
  return accepted();
}

function customerInformation(station, { requestId, report: wanted }) {
  if (wanted) {
    station.later(() =>
      station.call('NotifyCustomerInformation', { requestId, generatedAt: now(), seqNo: 0, tbc: false, data: 'none' }));
  }
  return accepted();
}

const v201 = {
  CancelReservation: accepted,
  CertificateSigned: accepted,
  ChangeAvailability: changeAvailability,
  ClearCache: accepted,
  ClearChargingProfile: clearProfile,
  ClearDisplayMessage: () => ({ status: 'Unknown' }),
  ClearVariableMonitoring: (station, { id }) => ({ clearMonitoringResult: id.map((one) => ({ status: 'NotFound', id: one })) }),
  CostUpdated: () => ({}),
  CustomerInformation: customerInformation,
  DataTransfer: () => ({ status: 'UnknownVendorId' }),
  DeleteCertificate: () => ({ status: 'NotFound' }),
  GetBaseReport: getReport,
  GetChargingProfiles: () => ({ status: 'NoProfiles' }),
  GetCompositeSchedule: rejected,
  GetDisplayMessages: () => ({ status: 'Unknown' }),
  GetInstalledCertificateIds: () => ({ status: 'NotFound' }),
  GetLocalListVersion: (station) => ({ versionNumber: station.listVersion }),
  GetLog: uploadLog,
  GetMonitoringReport: () => ({ status: 'EmptyResultSet' }),
  GetReport: getReport,
  GetTransactionStatus(station, { transactionId }) {
    if (transactionId === undefined) return { messagesInQueue: false };
    return { messagesInQueue: false, ongoingIndicator: station.session?.id === transactionId };
  },
  GetVariables: getVariables,
  InstallCertificate: accepted,
  PublishFirmware: rejected,
  RequestStartTransaction: (station, params) => remoteStart(station, params, params.idToken.idToken),
  RequestStopTransaction: (station, { transactionId }) => remoteStop(station, transactionId),
  ReserveNow: accepted,
  Reset: (station, { type }) => reset(station, type),
  SendLocalList: sendLocalList,
  SetChargingProfile: setProfile,
  SetDisplayMessage: rejected,
  SetMonitoringBase: accepted,
  SetMonitoringLevel: accepted,
  SetNetworkProfile: rejected,
  SetVariableMonitoring: (station, { setMonitoringData }) => ({
    setMonitoringResult: setMonitoringData.map(({ type, severity, component, variable }) =>
      ({ status: 'Rejected', type, severity, component, variable })),
  }),
  SetVariables: setVariables,
  TriggerMessage: trigger,
  UnlockConnector: () => ({ status: 'Unlocked' }),
  UnpublishFirmware: () => ({ status: 'NoFirmware' }),
  UpdateFirmware(station, { requestId }) {
    updateFirmware(station, 'FirmwareStatusNotification', { requestId });
    return accepted();
  },
};

// In 2.1 the same, and:
const v21 = {
  ...v201,
  AdjustPeriodicEventStream: rejected,
  AFRRSignal: accepted,
  ChangeTransactionTariff: () => ({ status: 'TxNotFound' }),
  ClearDERControl: () => ({ status: 'NotSupported' }),
  ClearTariffs: ({ tariffs }, { tariffIds }) => ({
    clearTariffsResult: (tariffIds ?? [...tariffs.keys()]).map((tariffId) =>
      ({ tariffId, status: tariffs.delete(tariffId) ? 'Accepted' : 'NoTariff' })),
  }),
  GetDERControl: () => ({ status: 'NotSupported' }),
  GetPeriodicEventStream: () => ({}),
  GetTariffs: ({ tariffs }) => (tariffs.size === 0 ? { status: 'NoTariff' } : {
    status: 'Accepted',
    tariffAssignments: [...tariffs].map(([tariffId, evseId]) => ({ tariffId, tariffKind: 'DefaultTariff', evseIds: [evseId] })),
  }),
  NotifyAllowedEnergyTransfer: accepted,
  NotifyWebPaymentStarted: () => ({}),
  RequestBatterySwap: rejected,
  SetDefaultTariff(station, { evseId, tariff }) {
    station.tariffs.set(tariff.tariffId, evseId);
    return accepted();
  },
  SetDERControl: () => ({ status: 'NotSupported' }),
  UpdateDynamicSchedule: accepted,
  UsePriorityCharging(station, { transactionId, activate }) {
    if (station.session?.id !== transactionId) return rejected();
    station.later(() => station.call('NotifyPriorityCharging', { transactionId, activated: activate }));
    return accepted();
  },
};

module.exports = {
  'ocpp1.6': { answers: v16, variables: CONFIGURATION },
  'ocpp2.0.1': { answers: v201, variables: VARIABLES },
  'ocpp2.1': { answers: v21, variables: VARIABLES },
};
