// action: get_user
// args: ["bob@example.com"]
// outcome: denied
// reason: not_found
function getByEmail(email, callback) {
  return callback(null);
}
