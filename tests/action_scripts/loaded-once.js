// action: login
// args: ["alice@example.com","correct horse"]
// outcome: succeeded
// value: {"user_id":1}
global.loaded = (global.loaded || 0) + 1;

function login(email, password, callback) {
  callback(null, { user_id: global.loaded });
}
