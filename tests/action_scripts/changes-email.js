// action: change_email
// args: ["alice@example.com","bob@example.com",true]
// outcome: succeeded
// value: true
function changeEmail(email, newEmail, verified, callback) {
  callback(null, verified === true);
}
