# find_path and its relatives repeat a search that failed, but keep a result for ever.

# sgp_forget_removed(VARIABLE [FILE]): before a search. A path in the cache, or FILE below it, that is no longer there
# is searched for again.
function(sgp_forget_removed variable)
  set(path "${${variable}}")
  if(ARGC GREATER 1)
    string(APPEND path "/${ARGV1}")
  endif()
  if(IS_ABSOLUTE "${${variable}}" AND NOT EXISTS "${path}")
    message(STATUS "${path} has been removed: searching again")
    unset(${variable} CACHE)
  endif()
endfunction()
