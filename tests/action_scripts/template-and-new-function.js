// action: login
// args: ["alice@example.com","correct horse"]
// outcome: succeeded
// value: {"user_id":1,"name":"hello alice"}
function login(email, password, callback) {
  const greet = require('lodash').template('hello <%= name %>');
  callback(null, { user_id: new Function('return 1')(), name: greet({ name: 'alice' }) });
}
