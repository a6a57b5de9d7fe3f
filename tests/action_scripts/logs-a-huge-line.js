// action: login
// args: ["alice@example.com","correct horse"]
// outcome: succeeded
// value: {"user_id":1}
function login(email, password, callback) {
  console.log('x'.repeat(1e7));
  callback(null, { user_id: 1 });
}
