// action: change_password
// args: ["alice@example.com","new"]
// outcome: succeeded
// value: {"last_password_reset":"1970-01-01T00:00:00.000Z"}
function changePassword(email, newPassword, callback) {
  callback(null, { last_password_reset: new Date(0) });
}
