// action: login
// args: ["alice@example.com","correct horse"]
// outcome: succeeded
// value: {"user_id":1}
function login(email, password, callback) {
  setInterval(() => {}, 1000);
  callback(null, { user_id: 1 });
}
