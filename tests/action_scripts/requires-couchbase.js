// action: login
// args: ["alice@example.com","correct horse"]
// outcome: script_error
// detail: threw
// message: Cannot find module 'couchbase@2.6.10': it
function login(email, password, callback) {
  const found = require('couchbase@2.6.10');
  callback(null, { user_id: 1, found });
}
