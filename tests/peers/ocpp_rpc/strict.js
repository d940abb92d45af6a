'use strict';
// Strict mode for OCPP 2.1. ocpp-rpc 2.2.1 looks a schema up as `urn:Action.req` and `urn:Action.conf`, but its own 2.1
// file names them `urn:ActionRequest` and `urn:ActionResponse` (those of 1.6 and 2.0.1 have the names it looks for), so
// that every 2.1 message ends as "ProtocolError: Schema 'urn:Heartbeat.req' is missing". A validator given here takes
// the place of the built-in one of its subprotocol: the same schemas, renamed. A version of the library that has the
// right names loses nothing by it.

const { createValidator } = require('ocpp-rpc');
const schemas = require('ocpp-rpc/lib/schemas/ocpp2_1.json');

const ENDING = { Request: '.req', Response: '.conf' };

const renamed = schemas.map((schema) => ({
  ...schema,
  $id: schema.$id.replace(/(Request|Response)$/, (word) => ENDING[word]),
  definitions: plain(schema.definitions),
}));

// The enumerations say `additionalProperties: false`, which means nothing for text, and ajv writes a warning for each.
function plain(definitions = {}) {
  return Object.fromEntries(Object.entries(definitions).map(([name, { additionalProperties, ...rest }]) =>
    [name, rest.type === 'string' ? rest : { additionalProperties, ...rest }]));
}

module.exports = { strictModeValidators: [createValidator('ocpp2.1', renamed)] };
