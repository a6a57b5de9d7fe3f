// action: login
// args: ["alice@example.com","correct horse"]
// outcome: script_error
// detail: threw
// message: Cannot find module 'constructor'
function login(email, password, callback) {
  const found = require('constructor');
  callback(null, { user_id: 1, found });
}
