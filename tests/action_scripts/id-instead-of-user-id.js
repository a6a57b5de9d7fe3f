// action: login
// args: ["alice@example.com","correct horse"]
// outcome: succeeded
// value: {"id":7,"email":"alice@example.com"}
function login(email, password, callback) {
  callback(null, { id: 7, email });
}
