// action: login
// args: ["alice@example.com","correct horse"]
// outcome: succeeded
// value: {"user_id":1}
function login(email, password, callback) {
  for (let i = 0; i < 1e5; i++) console.log('line', i);
  callback(null, { user_id: 1 });
}
