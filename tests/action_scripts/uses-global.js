// action: login
// args: ["alice@example.com","correct horse"]
// outcome: succeeded
// value: {"user_id":1,"calls":1}
function login(email, password, callback) {
  global.calls = (global.calls || 0) + 1;
  callback(null, { user_id: 1, calls });
}
