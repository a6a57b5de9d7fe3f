// action: login
// args: ["alice@example.com","correct horse"]
// outcome: script_error
// detail: threw
// message: makes no sense
function login(email, password, callback) {
  const found = require('cluster');
  callback(null, { user_id: 1, found });
}
