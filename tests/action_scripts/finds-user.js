// action: get_user
// args: ["alice@example.com"]
// outcome: succeeded
// value: {"user_id":7,"email":"alice@example.com"}
function getByEmail(email, callback) {
  callback(null, { user_id: 7, email });
}
