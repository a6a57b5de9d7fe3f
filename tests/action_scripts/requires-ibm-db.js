// action: login
// args: ["alice@example.com","correct horse"]
// outcome: script_error
// detail: threw
// message: Cannot find module 'ibm_db': it needs a native driver
function login(email, password, callback) {
  const found = require('ibm_db');
  callback(null, { user_id: 1, found });
}
