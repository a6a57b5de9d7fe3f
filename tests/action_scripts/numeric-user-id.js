// action: login
// args: ["alice@example.com","correct horse"]
// outcome: succeeded
// value: {"user_id":7,"email":"alice@example.com"}
function login(email, password, callback) {
  callback(null, { user_id: 7, email });
}
