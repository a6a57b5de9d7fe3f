// action: login
// args: ["alice@example.com","correct horse"]
// outcome: succeeded
// value: {"user_id":"bGVnYWN5"}
function login(email, password, callback) {
  callback(null, { user_id: new Buffer('legacy').toString('base64') });
}
