// action: login
// args: ["alice@example.com","correct horse"]
// outcome: script_error
// detail: threw
// message: Cannot find module
function login(email, password, callback) {
  const found = require('../harness/main.mjs');
  callback(null, { user_id: 1, found });
}
