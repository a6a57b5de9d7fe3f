// action: login
// args: ["alice@example.com","correct horse"]
// outcome: succeeded
// value: {"user_id":1,"env":0}
function login(email, password, callback) {
  callback(null, { user_id: 1, env: Object.keys(process.env).length });
}
