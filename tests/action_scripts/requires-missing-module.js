// action: login
// args: ["alice@example.com","correct horse"]
// outcome: script_error
// detail: threw
// message: Cannot find module 'left-pad'
function login(email, password, callback) {
  const found = require('left-pad');
  callback(null, { user_id: 1, found });
}
