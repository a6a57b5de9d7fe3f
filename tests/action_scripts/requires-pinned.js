// action: login
// args: ["alice@example.com","correct horse"]
// outcome: succeeded
// value: {"user_id":1,"picked":{"a":1},"uuid":36}
function login(email, password, callback) {
  const _ = require('lodash@4.17.21');
  const uuid = require('uuid@3.4.0');
  callback(null, { user_id: 1, picked: _.pick({ a: 1, b: 2 }, 'a'), uuid: uuid.v4().length });
}
